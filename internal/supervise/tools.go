package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
)

const toolList = "list-egress-routes"

const instructions = `You run in a bottle: the network is closed but for the routes of list-egress-routes.
Ask the operator for what you need. A call waits for the decision for a while; "pending" means that
nobody decided yet: go on with something else and ask again later with the same arguments.`

// tools are what the agent can call.
func (s *Server) tools() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "bottle-supervise", Version: "1"}, &mcp.ServerOptions{
		Instructions: instructions, Capabilities: &mcp.ServerCapabilities{},
	})
	server.AddTool(&mcp.Tool{
		Name:        toolList,
		Description: "List the hosts that can be reached, with methods, path prefixes and git remotes. A route without methods or paths admits all of them.",
		InputSchema: json.RawMessage(`{"type":"object","additionalProperties":false}`),
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true},
	}, s.list)
	for tool, about := range map[ask.Tool]struct{ description, schema string }{
		ask.ToolAllow: {
			"Ask the operator to open one HTTPS host. Ask for as little as you need.",
			`{"type":"object","additionalProperties":false,"required":["host","justification"],"properties":{
			"host":{"type":"string","description":"full DNS name, such as api.example.com; no address, no wildcard"},
			"port":{"type":"integer","minimum":1,"maximum":65535,"description":"default 443"},
			"methods":{"type":"array","items":{"type":"string","enum":["GET","HEAD","POST","PUT","PATCH","DELETE","OPTIONS"]},"description":"default GET and HEAD"},
			"paths":{"type":"array","maxItems":16,"items":{"type":"string"},"description":"prefixes such as /v1/; default all paths"},
			"justification":{"type":"string","description":"why, in a sentence or two: the operator reads it"}}}`,
		},
		ask.ToolCapability: {
			"Tell the operator about something else that you need, such as a program or a setting of the bottle.",
			`{"type":"object","additionalProperties":false,"required":["capability","justification"],"properties":{
			"capability":{"type":"string","maxLength":200,"description":"what, in a few words"},
			"justification":{"type":"string","description":"why: the operator reads it"}}}`,
		},
		ask.ToolPush: {
			"Ask whether the push of a branch that waits for approval was approved. Push first, and push again after the approval.",
			`{"type":"object","additionalProperties":false,"required":["remote","branch","justification"],"properties":{
			"remote":{"type":"string","description":"name of the git remote"},
			"branch":{"type":"string","description":"such as bottle/topic"},
			"justification":{"type":"string","description":"why"}}}`,
		},
	} {
		server.AddTool(&mcp.Tool{
			Name: string(tool), Description: about.description, InputSchema: json.RawMessage(about.schema),
			Annotations: &mcp.ToolAnnotations{IdempotentHint: true},
		}, s.asking(tool))
	}
	return server
}

func (s *Server) list(_ context.Context, request *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if raw := request.Params.Arguments; len(raw) > 0 {
		if err := ask.Decode(raw, &struct{}{}); err != nil {
			return s.refused(toolList, err), nil
		}
	}
	public := s.public.Load()
	s.journal.Write(line{Event: eventCall, Tool: toolList})
	return result(public, false), nil
}

// asking is a tool that passes its question to the host.
func (s *Server) asking(tool ask.Tool) mcp.ToolHandler {
	return func(ctx context.Context, request *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		arguments, err := s.check(tool, request.Params.Arguments)
		if err != nil {
			return s.refused(string(tool), err), nil
		}
		ctx, cancel := bound(ctx)
		defer cancel()
		ctx, stop := context.WithTimeout(ctx, s.config.Wait+s.config.Grace)
		defer stop()
		begun := s.config.Now()
		var answer ask.Answer
		question := ask.Question{Tool: tool, Arguments: arguments, WaitMS: s.config.Wait.Milliseconds()}
		err = s.channel.Ask(ctx, ask.Kind, question, &answer)
		if host := (*control.AnswerError)(nil); errors.As(err, &host) {
			return s.refused(string(tool), host), nil
		}
		if err != nil {
			s.journal.Write(line{Event: eventFail, Tool: string(tool), Problem: err.Error()})
			return result(ask.Answer{Status: ask.Failed, Message: "the host does not answer: nothing was approved; ask again later"}, true), nil
		}
		took := float64(s.config.Now().Sub(begun).Microseconds()) / float64(time.Millisecond.Microseconds())
		s.journal.Write(line{Event: eventCall, Tool: string(tool), ID: answer.ID, Status: answer.Status, Millis: &took})
		return result(answer, false), nil
	}
}

// check returns the arguments in canonical form. The host checks them again.
func (s *Server) check(tool ask.Tool, raw json.RawMessage) (json.RawMessage, error) {
	var arguments any
	var err error
	switch tool {
	case ask.ToolAllow:
		arguments, err = ask.ParseAllow(raw, s.public.Load().TestNames)
	case ask.ToolCapability:
		arguments, err = ask.ParseCapability(raw)
	default:
		arguments, err = ask.ParsePush(raw)
	}
	if err != nil {
		return nil, err
	}
	return ask.Marshal(arguments), nil
}

// refused is the answer to a call that the agent can mend. The reason may quote the agent,
// so the log does not have it.
func (s *Server) refused(tool string, err error) *mcp.CallToolResult {
	s.journal.Write(line{Event: eventRefuse, Tool: tool})
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}
}

// result is an answer as text, which every client shows, and as JSON.
func result(value any, failed bool) *mcp.CallToolResult {
	return &mcp.CallToolResult{
		IsError: failed, StructuredContent: value,
		Content: []mcp.Content{&mcp.TextContent{Text: string(ask.Marshal(value))}},
	}
}
