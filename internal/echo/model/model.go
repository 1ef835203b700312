// Package model plays the API of a language model from a script, so that a real agent
// program does real work without a network: it speaks Anthropic's messages and OpenAI's
// responses, in whole answers and as event streams.
//
// It keeps these invariants:
//   - It has no state: what comes next is read from the tool results in the request. The
//     same script and the same request give the same answer.
//   - What it asks for is the script's; nothing of a request becomes part of a command.
//   - A request that it does not understand is answered with an error in the API's own
//     form, never with a step. One that offers no fitting tool gets text.
package model

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Script is what the model does, step by step; then it says what it saw, and ends.
type Script struct {
	Steps []Step `json:"steps"`
}

// Step is one use of a tool: a command for the agent's shell, or a tool by the end of its
// name, since every agent program puts its own words before it.
type Step struct {
	Name  string `json:"name"` // in the log and in the last text
	Shell string `json:"shell,omitempty"`
	Tool  string `json:"tool,omitempty"`
}

const maxSteps = 16

// Check says what is wrong with a script.
func (s Script) Check() error {
	if len(s.Steps) > maxSteps {
		return fmt.Errorf("%d steps, at most %d are possible", len(s.Steps), maxSteps)
	}
	for i, step := range s.Steps {
		if step.Name == "" || (step.Shell == "") == (step.Tool == "") {
			return fmt.Errorf("steps[%d]: a name and either shell or tool are needed", i)
		}
	}
	return nil
}

// Request is what the upstream got, its body read.
type Request struct {
	Method     string
	Path       string // without the query
	Body       []byte
	Authorized bool   // the expected credential came
	Witness    string // added to the last text
}

// Answer is what goes back, and what the log says of it.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
	API         string // "anthropic", "openai", or "" for neither
	Model       string // that was asked for
	Step        string // the script's step, or what else it was
}

// What is answered that is no step of the script.
const (
	stepEnd     = "end"     // the script is over
	stepSide    = "side"    // a title, a check of the quota: no tool could be used
	stepCount   = "count"   // of tokens
	stepModels  = "models"  // the list
	stepRefused = "refused" // no credential, or not understood
)

// modelsPath is where both APIs list their models.
const modelsPath = "/v1/models"

// Answer plays one request.
func (s Script) Answer(r Request) Answer {
	api := apiOf(r.Path)
	if api == nil {
		return refuse(anthropic{}, http.StatusNotFound, "the script of this model has no such path")
	}
	if !r.Authorized {
		return refuse(api, http.StatusUnauthorized, "the credential is not the one that is expected here")
	}
	if r.Path == modelsPath {
		return jsonAnswer(api, stepModels, api.models())
	}
	if r.Method != http.MethodPost {
		return refuse(api, http.StatusMethodNotAllowed, "only POST")
	}
	turn, err := api.parse(r.Body)
	if err != nil {
		return refuse(api, http.StatusBadRequest, err.Error())
	}
	if strings.HasSuffix(r.Path, "/count_tokens") {
		return jsonAnswer(api, stepCount, map[string]int{"input_tokens": tokens(len(r.Body))})
	}
	reply, step := s.play(turn, r.Witness)
	reply.input = tokens(len(r.Body))
	answer := Answer{Status: http.StatusOK, API: api.name(), Model: turn.model, Step: step}
	if turn.stream {
		answer.ContentType, answer.Body = "text/event-stream", api.stream(turn, reply)
		return answer
	}
	whole := jsonAnswer(api, step, api.whole(turn, reply))
	answer.ContentType, answer.Body = whole.ContentType, whole.Body
	return answer
}

// api is one provider's form of the same conversation.
type api interface {
	name() string
	parse(body []byte) (turn, error)
	whole(turn, reply) any
	stream(turn, reply) []byte
	failure(status int, text string) any
	models() any
}

func apiOf(path string) api {
	switch path {
	case "/v1/messages", "/v1/messages/count_tokens":
		return anthropic{}
	case "/v1/responses", modelsPath:
		return openai{}
	}
	return nil
}

// turn is a request in either form.
type turn struct {
	model   string
	stream  bool
	tools   []tool
	results map[int]result // of earlier steps, by their number from 0
	schema  *schema        // of the JSON that is wanted instead of text; or nil
}

// result is what came of a step.
type result struct {
	text   string
	failed bool
}

// reply is an answer in either form: text, or one use of a tool.
type reply struct {
	text      string
	tool      *tool
	arguments map[string]any
	call      string // the identifier of the use
	input     int    // tokens
}

// play finds the first step without a result.
func (s Script) play(t turn, witness string) (reply, string) {
	// A program that wants JSON back wants a title or a verdict, even if it offers tools.
	if t.schema != nil || !slices.ContainsFunc(t.tools, tool.isShell) {
		return reply{text: t.side()}, stepSide
	}
	for i, step := range s.Steps {
		if _, done := t.results[i]; done {
			continue
		}
		tool, arguments, ok := step.use(t.tools)
		if !ok {
			continue // the report says so
		}
		return reply{tool: &tool, arguments: arguments, call: callID(i)}, step.Name
	}
	return reply{text: s.report(t, witness)}, stepEnd
}

// side is the text for a request that is not the agent's work.
func (t turn) side() string {
	if t.schema == nil {
		return "A scripted task"
	}
	text, err := json.Marshal(t.schema.example(0))
	if err != nil {
		return "{}"
	}
	return string(text)
}

// report tells a person what the model saw.
func (s Script) report(t turn, witness string) string {
	var text strings.Builder
	text.WriteString("The script is over. This is what I saw.\n")
	for i, step := range s.Steps {
		result, done := t.results[i]
		said := step.excerpt(result.text)
		switch {
		case !done:
			said = "NOT DONE, the agent offers no tool for it"
		case result.failed:
			said = "FAILED: " + said
		}
		fmt.Fprintf(&text, "- %s: %s\n", step.Name, said)
	}
	if witness != "" {
		fmt.Fprintf(&text, "- %s\n", witness)
	}
	return text.String()
}

const maxExcerpt = 300

// excerpt is a part of a result on one line: the end of a command's, where it says how it
// went, and the beginning of a tool's.
func (s Step) excerpt(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case len(text) <= maxExcerpt:
		return text
	case s.Shell != "":
		return "..." + strings.ToValidUTF8(text[len(text)-maxExcerpt:], "")
	}
	return strings.ToValidUTF8(text[:maxExcerpt], "") + "..."
}

// tokens is a guess in the size that people know.
func tokens(bytes int) int { return max(bytes/4, 1) }

func refuse(api api, status int, text string) Answer {
	answer := jsonAnswer(api, stepRefused, api.failure(status, text))
	answer.Status = status
	return answer
}

func jsonAnswer(api api, step string, value any) Answer {
	body, err := json.Marshal(value)
	if err != nil {
		return Answer{Status: http.StatusInternalServerError, Step: stepRefused}
	}
	return Answer{Status: http.StatusOK, ContentType: "application/json", Body: append(body, '\n'), API: api.name(), Step: step}
}
