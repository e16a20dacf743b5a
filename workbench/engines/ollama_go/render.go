// Renders an Ollama template with Go's own text/template, as Ollama does.
//
// A job as JSON on standard input, its answer as JSON on standard output. What a template sees (values, functions,
// options, which of the two ways of executing it) follows
// https://github.com/ollama/ollama/blob/b79067b0db7417f20108363bc22adb97f35c966a/template/template.go and
// https://github.com/ollama/ollama/blob/b79067b0db7417f20108363bc22adb97f35c966a/api/types.go
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// job is one render: `Think` is null, a boolean or a level; `Now` are seconds of the wall clock that templates see;
// `Track` asks where the text comes from.
type job struct {
	Template string          `json:"template"`
	Messages []message       `json:"messages"`
	Tools    []tool          `json:"tools"`
	Think    json.RawMessage `json:"think"`
	Now      int64           `json:"now"`
	Track    bool            `json:"track"`
}

// answer is the text, or the stage that failed (job, parse, execute, panic) with its error; `Marked` is the text with
// the marks of `origins.go`, empty where it could not be told.
type answer struct {
	OK     bool     `json:"ok"`
	Text   string   `json:"text"`
	Stage  string   `json:"stage,omitempty"`
	Error  string   `json:"error,omitempty"`
	Names  []string `json:"names"`
	Legacy bool     `json:"legacy"`
	Marked string   `json:"marked,omitempty"`
}

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		_ = out.Encode(answer{Stage: "job", Error: err.Error()})
		return
	}
	_ = out.Encode(render(&j))
}

func render(j *job) (result answer) {
	defer func() {
		if reason := recover(); reason != nil {
			result = answer{Stage: "panic", Error: fmt.Sprint(reason)}
		}
	}()
	now := time.Unix(j.Now, 0).UTC()
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions(now)).Parse(j.Template)
	if err != nil {
		return answer{Stage: "parse", Error: err.Error()}
	}
	names, err := namesOf(parsed)
	if err != nil {
		return answer{Stage: "parse", Error: err.Error()}
	}
	modern := slices.Contains(names, "messages")
	if !modern && !slices.Contains(names, "response") {
		parsed.Tree.Root.Nodes = append(parsed.Tree.Root.Nodes, responseNode())
	}
	for i := range j.Messages {
		j.Messages[i].from = []int{i}
	}
	system, messages := collated(j.Messages)
	run := execution{modern: modern, system: system, messages: messages, tools: shownTools(j.Tools), think: thinkOf(j.Think)}
	text, err := run.of(parsed)
	if err != nil {
		return answer{Stage: "execute", Error: err.Error(), Names: names, Legacy: !modern}
	}
	result = answer{OK: true, Text: text, Names: names, Legacy: !modern}
	if j.Track && !strings.ContainsAny(text, open+shut) {
		result.Marked = run.traced(parsed)
	}
	return result
}

// execution is what a template is handed; `trace` where each part of the text is told.
type execution struct {
	modern   bool
	system   string
	messages []*message
	tools    tools
	think    thinking
	trace    *tracer
}

// of is the text that a template writes.
func (e *execution) of(parsed *template.Template) (string, error) {
	if !e.modern {
		return e.turnByTurn(parsed)
	}
	messages := shown(e.messages)
	if e.trace != nil {
		e.trace.knowMessages(messages, e.messages)
		e.trace.knowTools(e.tools)
		e.trace.names = map[string]string{"System": contents(systemsOf(e.messages)), "Messages": "messages", "Tools": "tools"}
	}
	values := root{"System": e.system, "Messages": messages, "Tools": e.tools, "Response": ""}
	return execute(parsed, e.think.with(values))
}

// traced is the text with marks, empty where a run with them fails.
func (e *execution) traced(parsed *template.Template) (text string) {
	defer func() {
		if recover() != nil {
			text = ""
		}
	}()
	again := *e
	again.trace = newTracer()
	text, err := again.of(again.trace.marked(parsed))
	if err != nil {
		return ""
	}
	return text
}

// thinking is what `.Think`, `.ThinkLevel` and `.IsThinkSet` tell.
type thinking struct {
	on, set bool
	level   string
}

func thinkOf(raw json.RawMessage) thinking {
	var on bool
	if len(raw) == 0 || string(raw) == "null" {
		return thinking{}
	}
	if json.Unmarshal(raw, &on) == nil {
		return thinking{on: on, set: true, level: map[bool]string{true: "medium"}[on]}
	}
	var level string
	_ = json.Unmarshal(raw, &level)
	return thinking{on: true, set: true, level: level}
}

func (t thinking) with(values root) root {
	values["Think"], values["ThinkLevel"], values["IsThinkSet"] = t.on, t.level, t.set
	return values
}

func execute(t *template.Template, values root) (string, error) {
	var out bytes.Buffer
	err := t.Execute(&out, values)
	return out.String(), err
}

// functions are those that Ollama adds to text/template's own.
func functions(now time.Time) template.FuncMap {
	date := func(days int) func(...string) string {
		return func(...string) string { return now.AddDate(0, 0, days).Format("2006-01-02") }
	}
	return template.FuncMap{
		"json":             asJSON,
		"currentDate":      date(0),
		"yesterdayDate":    date(-1),
		"toTypeScriptType": typeScript,
	}
}

func asJSON(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// turnByTurn executes a template that knows `.System`, `.Prompt` and `.Response` only: once for each exchange, and
// for the last one only up to where the response stands.
func (e *execution) turnByTurn(t *template.Template) (string, error) {
	var out strings.Builder
	var system, prompt, response string
	names := map[string]string{}
	turn := func(t *template.Template) error {
		if e.trace != nil {
			e.trace.names = names
		}
		text, err := execute(t, e.think.with(root{"System": system, "Prompt": prompt, "Response": response}))
		out.WriteString(text)
		names = map[string]string{}
		return err
	}
	for _, m := range e.messages {
		ends := m.Role == "system" && (prompt != "" || response != "") || m.Role == "user" && response != ""
		if ends {
			if err := turn(t); err != nil {
				return "", err
			}
			system, prompt, response = "", "", ""
		}
		switch m.Role {
		case "system":
			system, names["System"] = m.Content, contents(m.from)
		case "user":
			prompt, names["Prompt"] = m.Content, contents(m.from)
		case "assistant":
			response, names["Response"] = m.Content, contents(m.from)
		}
	}
	cut := cutter{}
	left, ok := cut.node(t.Tree.Root.Copy()).(*parse.ListNode)
	if !ok {
		return "", errors.New("nothing of the template is left before the response")
	}
	// A fresh template, as Ollama makes one: without functions, options and named parts.
	last, err := template.New("").AddParseTree("", &parse.Tree{Root: left})
	if err != nil {
		return "", err
	}
	if e.trace != nil {
		last.Funcs(template.FuncMap{from: e.trace.pathOf})
	}
	if err := turn(last); err != nil {
		return "", err
	}
	return out.String(), nil
}

// cutter drops everything that stands behind the first field named Response, in the order in which Ollama walks.
type cutter struct{ done bool }

func (c *cutter) node(n parse.Node) parse.Node {
	if field, ok := n.(*parse.FieldNode); ok && slices.Contains(field.Ident, "Response") {
		c.done = true
	} else if c.done {
		return nil
	}
	switch n := n.(type) {
	case *parse.ListNode:
		n.Nodes = slices.DeleteFunc(n.Nodes, func(child parse.Node) bool { return c.node(child) == nil })
	case *parse.IfNode:
		c.branch(&n.BranchNode)
	case *parse.RangeNode:
		c.branch(&n.BranchNode)
	case *parse.WithNode:
		c.branch(&n.BranchNode)
	case *parse.ActionNode:
		if c.node(n.Pipe) == nil {
			return nil
		}
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			command.Args = slices.DeleteFunc(command.Args, func(a parse.Node) bool { return c.node(a) == nil })
			if len(command.Args) == 0 {
				return nil
			}
		}
		if len(n.Cmds) == 0 {
			return nil
		}
	}
	return n
}

func (c *cutter) branch(b *parse.BranchNode) {
	c.node(b.List)
	if b.ElseList == nil {
		return
	}
	if c.done {
		panic("an {{ else }} stands behind {{ .Response }}: Ollama's server fails on such a template")
	}
	c.node(b.ElseList)
}

// collated merges neighbouring messages of one role (but tool results), and collects the system messages.
func collated(messages []message) (string, []*message) {
	var system []string
	var merged []*message
	for i := range messages {
		m := &messages[i]
		if m.Role == "system" {
			system = append(system, m.Content)
		}
		if last := len(merged) - 1; last >= 0 && m.Role != "tool" && merged[last].Role == m.Role {
			merged[last].Content += "\n\n" + m.Content
			merged[last].from = append(merged[last].from, i)
			continue
		}
		merged = append(merged, m)
	}
	return strings.Join(system, "\n\n"), merged
}

func responseNode() parse.Node {
	field := &parse.FieldNode{NodeType: parse.NodeField, Ident: []string{"Response"}}
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{field}}
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{command}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: pipe}
}

// namesOf lists the fields and variables that the template and its named parts mention, in lower case.
func namesOf(t *template.Template) ([]string, error) {
	found := []string{}
	for _, part := range t.Templates() {
		if err := mentioned(part.Root, &found); err != nil {
			return nil, err
		}
	}
	for i := range found {
		found[i] = strings.ToLower(found[i])
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

func mentioned(n parse.Node, found *[]string) error {
	each := func(nodes ...parse.Node) error {
		for _, child := range nodes {
			if err := mentioned(child, found); err != nil {
				return err
			}
		}
		return nil
	}
	branch := func(b *parse.BranchNode) error {
		if b.ElseList == nil {
			return each(b.Pipe, b.List)
		}
		return each(b.Pipe, b.List, b.ElseList)
	}
	switch n := n.(type) {
	case *parse.ListNode:
		return each(n.Nodes...)
	case *parse.TemplateNode:
		if n.Pipe == nil {
			return errors.New("undefined template specified")
		}
		return each(n.Pipe)
	case *parse.ActionNode:
		return each(n.Pipe)
	case *parse.IfNode:
		return branch(&n.BranchNode)
	case *parse.RangeNode:
		return branch(&n.BranchNode)
	case *parse.WithNode:
		return branch(&n.BranchNode)
	case *parse.PipeNode:
		for _, command := range n.Cmds {
			if err := each(command.Args...); err != nil {
				return err
			}
		}
	case *parse.FieldNode:
		*found = append(*found, n.Ident...)
	case *parse.VariableNode:
		*found = append(*found, n.Ident...)
	}
	return nil
}
