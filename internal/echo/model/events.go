package model

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// events is a stream of server-sent events, numbered as OpenAI does.
type events struct {
	out    bytes.Buffer
	number int
}

// add writes one event; its fields get the event's name, and its number.
func (e *events) add(name string, fields map[string]any) {
	fields["type"], fields["sequence_number"] = name, e.number
	e.number++
	data, err := json.Marshal(fields)
	if err != nil {
		return // of maps, texts and numbers: it does not happen
	}
	fmt.Fprintf(&e.out, "event: %s\ndata: %s\n\n", name, data)
}

func (e *events) bytes() []byte { return e.out.Bytes() }

// argumentsText is the arguments as both APIs stream them.
func (r reply) argumentsText() string {
	text, err := json.Marshal(r.arguments)
	if err != nil {
		return "{}"
	}
	return string(text)
}

func (r reply) output() int { return tokens(len(r.text) + len(r.argumentsText())) }
