// Where the text of a render comes from: the template run once more, a mark before everything that a part of it writes.
//
// A mark is `open`, the part's place (bytes from the template's start), its kind, the fields that it shows, `shut`.

package main

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"
)

const (
	open, shut = "\ue000", "\ue001"
	from       = "workbenchFrom"
)

// place is a value of the request by where it lies in memory; a struct and its first field lie at one address.
type place struct {
	address uintptr
	kind    reflect.Type
}

// root are the variables of a whole template.
type root map[string]any

// tracer knows the fields of the request: `paths` of what the templates are handed, `names` of the variables.
type tracer struct {
	paths map[place]string
	names map[string]string
}

func newTracer() *tracer {
	return &tracer{map[place]string{}, map[string]string{}}
}

// know notes the path of a value that `pointer` points to.
func (t *tracer) know(pointer any, path string) {
	value := reflect.ValueOf(pointer)
	t.paths[place{value.Pointer(), value.Type().Elem()}] = path
}

func (t *tracer) knowMessages(messages []*shownMessage, merged []*message) {
	for i, m := range messages {
		path := fmt.Sprintf("messages[%d]", merged[i].from[0])
		t.know(m, path)
		for k := range m.ToolCalls {
			call := fmt.Sprintf("%s.tool_calls[%d]", path, k)
			t.know(&m.ToolCalls[k], call)
			t.know(&m.ToolCalls[k].Function, call+".function")
		}
		t.know(&m.Content, contents(merged[i].from))
	}
}

func (t *tracer) knowTools(given tools) {
	for i := range given {
		path := fmt.Sprintf("tools[%d]", i)
		t.know(&given[i], path)
		t.know(&given[i].Function, path+".function")
		t.know(&given[i].Function.Parameters, path+".function.parameters")
	}
}

// systemsOf are all messages with a system text.
func systemsOf(merged []*message) []int {
	var found []int
	for _, m := range merged {
		if m.Role == "system" {
			found = append(found, m.from...)
		}
	}
	return found
}

// contents are the paths of a text that was merged of several messages' own.
func contents(messages []int) string {
	paths := make([]string, len(messages))
	for i, n := range messages {
		paths[i] = fmt.Sprintf("messages[%d].content", n)
	}
	return strings.Join(paths, "+")
}

// fieldNames are those of the request for what templates call otherwise.
var fieldNames = map[string]string{"ToolCalls": "tool_calls", "ToolName": "tool_name", "ToolCallID": "tool_call_id"}

// pathOf is a template's function: the path of the field `name` of `value`, or of the value itself; "" for none known.
func (t *tracer) pathOf(value reflect.Value, name string) string {
	for value.IsValid() && (value.Kind() == reflect.Interface || value.Kind() == reflect.Pointer) {
		value = value.Elem()
	}
	if !value.IsValid() {
		return ""
	}
	if value.Type() == reflect.TypeOf(root{}) {
		return t.names[name]
	}
	if !value.CanAddr() {
		return ""
	}
	path := t.paths[place{value.Addr().Pointer(), value.Type()}]
	if name == "" || path == "" {
		return path
	}
	if name == "Content" && value.Type() == reflect.TypeOf(shownMessage{}) {
		return t.pathOf(value.FieldByName(name), "")
	}
	if other, ok := fieldNames[name]; ok {
		name = other
	}
	return path + "." + strings.ToLower(name)
}

// marked puts the marks into all parts of a parsed template.
func (t *tracer) marked(parsed *template.Template) *template.Template {
	parsed.Funcs(template.FuncMap{from: t.pathOf})
	for _, part := range parsed.Templates() {
		if part.Tree != nil {
			markList(part.Tree.Root)
		}
	}
	return parsed
}

func markList(list *parse.ListNode) {
	if list == nil {
		return
	}
	var nodes []parse.Node
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			nodes = append(nodes, literal(fmt.Sprintf("%s%d text %s", open, n.Pos, shut)))
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				nodes = append(nodes, markOf(n)...)
			}
		case *parse.IfNode:
			markBranch(&n.BranchNode)
		case *parse.RangeNode:
			markBranch(&n.BranchNode)
		case *parse.WithNode:
			markBranch(&n.BranchNode)
		}
		nodes = append(nodes, n)
	}
	list.Nodes = nodes
}

func markBranch(b *parse.BranchNode) {
	markList(b.List)
	markList(b.ElseList)
}

func literal(text string) parse.Node {
	return &parse.TextNode{NodeType: parse.NodeText, Text: []byte(text)}
}

// markOf is the mark of what an action writes: a field as it is or as JSON, a date, a constant, or anything else.
func markOf(n *parse.ActionNode) []parse.Node {
	kind, shows := "other", parse.Node(nil)
	if len(n.Pipe.Cmds) == 1 {
		args := n.Pipe.Cmds[0].Args
		switch first := args[0].(type) {
		case *parse.FieldNode, *parse.VariableNode, *parse.DotNode:
			kind, shows = "field", first
		case *parse.StringNode:
			kind = "constant"
		case *parse.IdentifierNode:
			if first.Ident == "json" && len(args) == 2 {
				kind, shows = "field", args[1]
			} else if strings.HasSuffix(first.Ident, "Date") {
				kind = first.Ident
			}
		}
	}
	nodes := []parse.Node{literal(fmt.Sprintf("%s%d %s ", open, n.Pos, kind))}
	if asked := asking(shows); asked != nil {
		nodes = append(nodes, asked)
	}
	return append(nodes, literal(shut))
}

// asking is the action that writes the path of the field that `shows` names, nil where it names none.
func asking(shows parse.Node) parse.Node {
	var of parse.Node
	name := ""
	switch n := shows.(type) {
	case *parse.FieldNode:
		last := len(n.Ident) - 1
		name = n.Ident[last]
		of = &parse.DotNode{NodeType: parse.NodeDot}
		if last > 0 {
			of = &parse.FieldNode{NodeType: parse.NodeField, Ident: n.Ident[:last]}
		}
	case *parse.VariableNode:
		last := len(n.Ident) - 1
		of = n
		if last > 0 {
			name = n.Ident[last]
			of = &parse.VariableNode{NodeType: parse.NodeVariable, Ident: n.Ident[:last]}
		}
	case *parse.DotNode:
		of = n
	default:
		return nil
	}
	asked := []parse.Node{parse.NewIdentifier(from), of, &parse.StringNode{NodeType: parse.NodeString, Text: name, Quoted: `""`}}
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Args: asked}
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{command}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: pipe}
}
