package overseer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/sshagent"
)

// Events of the audit log that the host itself has seen: what it gave to a daemon. A daemon
// that does more than it says in its own lines is found by them.
const (
	EventSigned = "ssh-signed"  // a login to a git remote
	EventToken  = "token-given" // another token than before
)

// signResponse begins an answer of an ssh agent that holds a signature.
const signResponse = 14

// Answer answers a daemon's question; who asks is init's word, not the daemon's.
func (o *Overseer) Answer(ctx context.Context, q control.Question) (any, error) {
	if err := o.judge(q); err != nil {
		return nil, err
	}
	switch q.Daemon + " " + q.Kind {
	case daemons.Egress + " token":
		return o.answerToken(ctx, q.Body)
	case daemons.GitGate + " ssh-agent":
		return o.answerSSH(q.Body)
	case daemons.GitGate + " push-approval":
		return o.answerPush(ctx, q.Body)
	case daemons.Supervise + " " + ask.Kind:
		return o.queue.Handle(ctx, q.Body)
	}
	return nil, fmt.Errorf("the daemon %.40q may not ask for %.40q", q.Daemon, q.Kind)
}

func (o *Overseer) answerToken(ctx context.Context, body json.RawMessage) (any, error) {
	var question struct {
		Route int `json:"route"`
	}
	if err := ask.Decode(body, &question); err != nil {
		return nil, err
	}
	if o.config.Tokens == nil {
		return nil, errors.New("this bottle has no credentials")
	}
	token, err := o.refreshToken(ctx, question.Route)
	if err != nil {
		return nil, err
	}
	return map[string]string{"token": token.Reveal()}, nil
}

func (o *Overseer) answerSSH(body json.RawMessage) (any, error) {
	var question struct {
		Remote  string `json:"remote"`
		Session string `json:"session"`
		Message string `json:"message"`
	}
	if err := ask.Decode(body, &question); err != nil {
		return nil, err
	}
	message, err := base64.StdEncoding.DecodeString(question.Message)
	if err != nil {
		return nil, fmt.Errorf("reading the agent's message: %w", err)
	}
	reply, err := o.agent.Handle(question.Remote, question.Session, message)
	if err != nil {
		return nil, err
	}
	if reply[0] == signResponse {
		o.config.Audit(EventSigned, map[string]any{"remote": question.Remote, "session": question.Session})
	}
	return map[string]string{"message": base64.StdEncoding.EncodeToString(reply)}, nil
}

// pushQuestion is the git gate's question for a human.
type pushQuestion struct {
	Remote string `json:"remote"`
	Refs   []struct {
		Ref string `json:"ref"`
		Old string `json:"old"`
		New string `json:"new"`
	} `json:"refs"`
	Commits int      `json:"commits"`
	Files   []string `json:"files"`
	Reasons []string `json:"reasons"`
}

// maxReasons is how many a proposal can hold; the git gate alone names up to 50 files.
const maxReasons = 50

// answerPush does not wait: git would give up. The same push is asked for again.
func (o *Overseer) answerPush(ctx context.Context, body json.RawMessage) (any, error) {
	var question pushQuestion
	if err := ask.Decode(body, &question); err != nil {
		return nil, err
	}
	// An approval stands for two commits of one branch; half of a push must not use it up.
	if len(question.Refs) != 1 {
		return nil, fmt.Errorf("%d branches at once cannot be approved: push one branch at a time", len(question.Refs))
	}
	ref := question.Refs[0]
	reasons := slices.Clone(question.Reasons)
	for _, file := range question.Files {
		reasons = append(reasons, "it changes "+file)
	}
	if over := len(reasons) - maxReasons; over > 0 {
		reasons = append(reasons[:maxReasons-1], fmt.Sprintf("and %d more reasons", over+1))
	}
	answer, err := o.queue.AskPush(ctx, proposal.Push{
		Remote: question.Remote, Ref: ref.Ref, Old: ref.Old, New: ref.New, Reasons: reasons,
	}, 0)
	if err != nil {
		return nil, err
	}
	decision := map[ask.Status]string{ask.Approved: "approved", ask.Pending: "pending"}[answer.Status]
	note := answer.Note
	switch decision {
	case "":
		decision = "rejected"
	case "pending":
		note = answer.ID
		if o.isNews(answer.ID) {
			o.config.Say(fmt.Sprintf("a push to %s waits for you: bottle supervise show %.12s", question.Remote, answer.ID))
		}
	}
	return map[string]string{"decision": decision, "note": note}, nil
}

// isNews reports whether the operator was not told of a push before: the agent can push the
// same again and again. The queue bounds how many different ones there are.
func (o *Overseer) isNews(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.told[id]
	o.told[id] = true
	return !before
}

func newAgent(config Config) (*sshagent.Agent, error) {
	var remotes []sshagent.Remote
	for _, remote := range config.Plan.Git.Remotes {
		identity := config.Remotes[remote.Name]
		remotes = append(remotes, sshagent.Remote{
			Name: remote.Name, User: remote.User, Key: identity.Key, KnownHostKey: identity.KnownHostKey,
		})
	}
	return sshagent.New(remotes, config.Now)
}
