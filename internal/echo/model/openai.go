package model

import (
	"encoding/json"
	"errors"
)

// openai is POST /v1/responses.
type openai struct{}

func (openai) name() string { return "openai" }

type responsesRequest struct {
	Model  string          `json:"model"`
	Stream bool            `json:"stream"`
	Input  json.RawMessage `json:"input"` // text, or items
	Tools  []offered       `json:"tools"`
	Text   struct {
		Format *struct {
			Schema *schema `json:"schema"`
		} `json:"format"`
	} `json:"text"`
}

// offered is a tool, or with type namespace a group of them.
type offered struct {
	Type        string    `json:"type"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Parameters  schema    `json:"parameters"`
	Tools       []offered `json:"tools"`
}

type item struct {
	Type   string          `json:"type"`
	CallID string          `json:"call_id"`
	Output json.RawMessage `json:"output"`
	Tools  []offered       `json:"tools"` // more of them, with type additional_tools
}

func (openai) parse(body []byte) (turn, error) {
	var in responsesRequest
	if json.Unmarshal(body, &in) != nil || in.Input == nil {
		return turn{}, errors.New("the body is no request of the responses API")
	}
	t := turn{model: in.Model, stream: in.Stream, results: map[int]result{}}
	for _, one := range in.Tools {
		t.tools = append(t.tools, one.tools("")...)
	}
	if in.Text.Format != nil {
		t.schema = in.Text.Format.Schema
	}
	for _, one := range items(in.Input) {
		for _, more := range one.Tools {
			t.tools = append(t.tools, more.tools("")...)
		}
		if step, ok := stepOf(one.CallID); ok && len(one.Output) > 0 {
			t.results[step] = result{text: textOf(one.Output)}
		}
	}
	return t, nil
}

// items reads an input; a plain text has none.
func items(input json.RawMessage) []item {
	var list []item
	if json.Unmarshal(input, &list) != nil {
		return nil
	}
	return list
}

func (o offered) tools(namespace string) []tool {
	switch o.Type {
	case "function":
		return []tool{{name: o.Name, namespace: namespace, schema: o.Parameters}}
	case "local_shell":
		return []tool{{name: o.Type, kind: localShell}}
	case "custom":
		if o.Name == codeName {
			return []tool{{name: o.Name, namespace: namespace, kind: codeMode, description: o.Description}}
		}
	case "namespace":
		if namespace != "" {
			return nil // one level is all that there is
		}
		var list []tool
		for _, one := range o.Tools {
			list = append(list, one.tools(o.Name)...)
		}
		return list
	}
	return nil
}

const responseID = "resp_bottle"

func (openai) response(t turn, status string, output []any, r reply) map[string]any {
	return map[string]any{
		"id": responseID, "object": "response", "created_at": 0, "status": status, "model": t.model, "output": output,
		"usage": map[string]any{
			"input_tokens": r.input, "input_tokens_details": map[string]int{"cached_tokens": 0},
			"output_tokens": r.output(), "output_tokens_details": map[string]int{"reasoning_tokens": 0},
			"total_tokens": r.input + r.output(),
		},
	}
}

// outputItem is the one item of an answer, begun or done.
func (openai) outputItem(r reply, done bool) map[string]any {
	status, text, arguments := "in_progress", "", ""
	if done {
		status, text, arguments = "completed", r.text, r.argumentsText()
	}
	switch {
	case r.tool == nil:
		item := map[string]any{"id": "msg_bottle", "type": "message", "role": "assistant", "status": status, "content": []any{}}
		if done {
			item["content"] = []any{map[string]any{"type": "output_text", "text": text, "annotations": []any{}}}
		}
		return item
	case r.tool.kind == localShell:
		return map[string]any{
			"id": "lsh_bottle", "type": "local_shell_call", "status": status, "call_id": r.call,
			"action": map[string]any{"type": "exec", "command": r.arguments["command"], "env": map[string]string{}},
		}
	}
	item := map[string]any{
		"id": "fc_bottle", "type": "function_call", "status": status, "call_id": r.call, "name": r.tool.name, "arguments": arguments,
	}
	if r.tool.kind == codeMode {
		delete(item, "arguments")
		item["id"], item["type"], item["input"] = "ctc_bottle", "custom_tool_call", ""
		if done {
			item["input"] = r.arguments[codeArgument]
		}
	}
	if r.tool.namespace != "" {
		item["namespace"] = r.tool.namespace
	}
	return item
}

func (o openai) whole(t turn, r reply) any {
	return o.response(t, "completed", []any{o.outputItem(r, true)}, r)
}

func (o openai) stream(t turn, r reply) []byte {
	var out events
	out.add("response.created", map[string]any{"response": o.response(t, "in_progress", []any{}, r)})
	out.add("response.output_item.added", map[string]any{"output_index": 0, "item": o.outputItem(r, false)})
	item := o.outputItem(r, true)
	at := func(fields map[string]any) map[string]any {
		fields["item_id"], fields["output_index"] = item["id"], 0
		return fields
	}
	switch {
	case r.tool == nil:
		part := func(text string) map[string]any {
			return map[string]any{"type": "output_text", "text": text, "annotations": []any{}}
		}
		out.add("response.content_part.added", at(map[string]any{"content_index": 0, "part": part("")}))
		out.add("response.output_text.delta", at(map[string]any{"content_index": 0, "delta": r.text}))
		out.add("response.output_text.done", at(map[string]any{"content_index": 0, "text": r.text}))
		out.add("response.content_part.done", at(map[string]any{"content_index": 0, "part": part(r.text)}))
	case r.tool.kind == codeMode:
		out.add("response.custom_tool_call_input.delta", at(map[string]any{"delta": r.arguments[codeArgument]}))
		out.add("response.custom_tool_call_input.done", at(map[string]any{"input": r.arguments[codeArgument]}))
	case r.tool.kind == function:
		out.add("response.function_call_arguments.delta", at(map[string]any{"delta": r.argumentsText()}))
		out.add("response.function_call_arguments.done", at(map[string]any{"arguments": r.argumentsText()}))
	}
	out.add("response.output_item.done", map[string]any{"output_index": 0, "item": item})
	out.add("response.completed", map[string]any{"response": o.response(t, "completed", []any{item}, r)})
	return out.bytes()
}

func (openai) failure(status int, text string) any {
	kind := "invalid_request_error"
	if status == 401 {
		kind = "authentication_error"
	}
	return map[string]any{"error": map[string]any{"type": kind, "code": nil, "message": text, "param": nil}}
}

// models is in a form that readers of both APIs take.
func (openai) models() any {
	return map[string]any{
		"object": "list", "has_more": false, "first_id": nil, "last_id": nil,
		"data": []any{map[string]any{
			"id": "scripted", "object": "model", "type": "model", "display_name": "Scripted", "owned_by": "bottle",
			"created": 0, "created_at": "2026-01-01T00:00:00Z",
		}},
	}
}
