package model

import (
	"encoding/json"
	"errors"
	"strings"
)

// anthropic is POST /v1/messages.
type anthropic struct{}

func (anthropic) name() string { return "anthropic" }

type messagesRequest struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"` // text, or blocks
	} `json:"messages"`
	Tools []struct {
		Name        string `json:"name"`
		InputSchema schema `json:"input_schema"`
	} `json:"tools"`
	OutputFormat *outputFormat `json:"output_format"`
	OutputConfig struct {
		Format *outputFormat `json:"format"`
	} `json:"output_config"`
}

type outputFormat struct {
	Schema *schema `json:"schema"`
}

type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ToolUseID string          `json:"tool_use_id"`
	IsError   bool            `json:"is_error"`
	Content   json.RawMessage `json:"content"`
}

func (anthropic) parse(body []byte) (turn, error) {
	var in messagesRequest
	if json.Unmarshal(body, &in) != nil || in.Messages == nil {
		return turn{}, errors.New("the body is no request of the messages API")
	}
	t := turn{model: in.Model, stream: in.Stream, results: map[int]result{}}
	for _, offered := range in.Tools {
		t.tools = append(t.tools, tool{name: offered.Name, schema: offered.InputSchema})
	}
	for _, format := range []*outputFormat{in.OutputFormat, in.OutputConfig.Format} {
		if format != nil && format.Schema != nil {
			t.schema = format.Schema
		}
	}
	for _, message := range in.Messages {
		for _, b := range blocks(message.Content) {
			if step, ok := stepOf(b.ToolUseID); ok && b.Type == "tool_result" {
				t.results[step] = result{text: textOf(b.Content), failed: b.IsError}
			}
		}
	}
	return t, nil
}

// blocks reads content; a plain text has none.
func blocks(content json.RawMessage) []block {
	var list []block
	if json.Unmarshal(content, &list) != nil {
		return nil
	}
	return list
}

// textOf joins the text of a tool's result, which is one text or blocks in both APIs.
func textOf(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []string
	for _, b := range blocks(content) {
		parts = append(parts, b.Text)
	}
	return strings.Join(parts, "\n")
}

const messageID = "msg_bottle"

func (anthropic) message(t turn, content []any, stop any, in, out int) map[string]any {
	return map[string]any{
		"id": messageID, "type": "message", "role": "assistant", "model": t.model, "content": content,
		"stop_reason": stop, "stop_sequence": nil, "usage": map[string]int{"input_tokens": in, "output_tokens": out},
	}
}

func (anthropic) content(r reply) (block map[string]any, stop string) {
	if r.tool == nil {
		return map[string]any{"type": "text", "text": r.text}, "end_turn"
	}
	return map[string]any{"type": "tool_use", "id": r.call, "name": r.tool.name, "input": r.arguments}, "tool_use"
}

func (a anthropic) whole(t turn, r reply) any {
	content, stop := a.content(r)
	return a.message(t, []any{content}, stop, r.input, r.output())
}

func (a anthropic) stream(t turn, r reply) []byte {
	content, stop := a.content(r)
	delta := map[string]any{"type": "text_delta", "text": r.text}
	if r.tool == nil {
		content["text"] = ""
	} else {
		content["input"] = map[string]any{}
		delta = map[string]any{"type": "input_json_delta", "partial_json": r.argumentsText()}
	}
	var out events
	out.add("message_start", map[string]any{"message": a.message(t, []any{}, nil, r.input, 1)})
	out.add("content_block_start", map[string]any{"index": 0, "content_block": content})
	out.add("content_block_delta", map[string]any{"index": 0, "delta": delta})
	out.add("content_block_stop", map[string]any{"index": 0})
	out.add("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}, "usage": map[string]int{"output_tokens": r.output()},
	})
	out.add("message_stop", map[string]any{})
	return out.bytes()
}

func (anthropic) failure(status int, text string) any {
	kind := "invalid_request_error"
	switch status {
	case 401:
		kind = "authentication_error"
	case 404:
		kind = "not_found_error"
	}
	return map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": text}}
}

func (anthropic) models() any { return openai{}.models() }
