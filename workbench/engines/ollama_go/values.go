// What a template sees of a request: messages, tools and calls, and how they print.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// message is one message of a request to Ollama's /api/chat.
type message struct {
	Role       string     `json:"role"`
	Content    string     `json:"content"`
	Thinking   string     `json:"thinking,omitempty"`
	Images     [][]byte   `json:"images,omitempty"`
	ToolCalls  []toolCall `json:"tool_calls,omitempty"`
	ToolName   string     `json:"tool_name,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
	from       []int      // which of the request's messages it was made of
}

func (m *message) UnmarshalJSON(data []byte) error {
	type plain message
	if err := json.Unmarshal(data, (*plain)(m)); err != nil {
		return err
	}
	m.Role = strings.ToLower(m.Role)
	return nil
}

type toolCall struct {
	ID       string `json:"id,omitempty"`
	Function struct {
		Index     int       `json:"index"`
		Name      string    `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

// arguments print as JSON, their keys sorted as Go sorts those of a map.
type arguments map[string]any

func (a arguments) String() string { return jsonOrEmpty(a, a == nil) }

// properties print as JSON, sorted too; those inside another property keep the order in which they came.
type properties map[string]property

func (p properties) String() string { return jsonOrEmpty(p, p == nil) }

func jsonOrEmpty(value any, empty bool) string {
	if empty {
		return "{}"
	}
	return asJSON(value)
}

type tool struct {
	Type     string `json:"type"`
	Items    any    `json:"items,omitempty"`
	Function struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Parameters  struct {
			Type       string     `json:"type"`
			Defs       any        `json:"$defs,omitempty"`
			Items      any        `json:"items,omitempty"`
			Required   []string   `json:"required,omitempty"`
			Properties properties `json:"properties"`
		} `json:"parameters"`
	} `json:"function"`
}

func (t tool) String() string { return asJSON(t) }

type property struct {
	AnyOf       []property `json:"anyOf,omitempty"`
	Type        oneOrMore  `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
	Properties  *ordered   `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
}

// oneOrMore is the type of a property: a text, or a list of them.
type oneOrMore []string

func (t *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

func (t oneOrMore) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

func (t oneOrMore) String() string {
	switch len(t) {
	case 0:
		return ""
	case 1:
		return t[0]
	}
	return fmt.Sprintf("%v", []string(t))
}

// ordered are properties that keep their order.
type ordered struct {
	names  []string
	values properties
}

func (o *ordered) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &o.values); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		if text, ok := name.(string); ok && !seen[text] {
			seen[text] = true
			o.names = append(o.names, text)
		}
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return err
		}
	}
	return nil
}

func (o *ordered) MarshalJSON() ([]byte, error) {
	if o.values == nil {
		return []byte("null"), nil
	}
	var out bytes.Buffer
	for i, name := range o.names {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		out.WriteString(separator + asJSON(name) + ":" + asJSON(o.values[name]))
	}
	if len(o.names) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// typeScript is the TypeScript type of a property; "any" for everything else.
func typeScript(value any) string {
	switch p := value.(type) {
	case property:
		return p.typeScript()
	case *property:
		if p != nil {
			return p.typeScript()
		}
	}
	return "any"
}

func (p property) typeScript() string {
	var parts []string
	for _, one := range p.AnyOf {
		parts = append(parts, one.typeScript())
	}
	if len(parts) == 0 {
		for _, name := range p.Type {
			parts = append(parts, typeScriptNames(name))
		}
	}
	if len(parts) == 0 {
		return "any"
	}
	return strings.Join(parts, " | ")
}

func typeScriptNames(name string) string {
	switch name {
	case "string", "boolean", "null":
		return name
	case "number", "integer":
		return "number"
	case "array":
		return "any[]"
	case "object":
		return "Record<string, any>"
	}
	return "any"
}

// tools print as JSON.
type tools []tool

func (t tools) String() string { return asJSON([]tool(t)) }

func shownTools(given []tool) tools { return tools(given) }

// shownMessage is a message as templates see it: without JSON names.
type shownMessage struct {
	Role, Content, Thinking string
	Images                  [][]byte
	ToolCalls               []shownCall
	ToolName, ToolCallID    string
}

type shownCall struct {
	ID       string
	Function shownFunction
}

type shownFunction struct {
	Index     int
	Name      string
	Arguments arguments
}

func shown(messages []*message) []*shownMessage {
	found := make([]*shownMessage, 0, len(messages))
	for _, m := range messages {
		var calls []shownCall
		for _, c := range m.ToolCalls {
			calls = append(calls, shownCall{c.ID, shownFunction{c.Function.Index, c.Function.Name, c.Function.Arguments}})
		}
		found = append(found, &shownMessage{m.Role, m.Content, m.Thinking, m.Images, calls, m.ToolName, m.ToolCallID})
	}
	return found
}
