package apply

import (
	"errors"
	"strings"

	"bottle.internal/internal/workspace"
)

// checkHost wants a path of the host to be as the request has seen it.
func (j *job) checkHost(op Op) error {
	now, err := workspace.Look(j.root, string(op.Path))
	if noDir := (*workspace.NoDirectoryError)(nil); errors.As(err, &noDir) && op.Before.Kind == workspace.Absent {
		return j.checkParents(op) // the link or file in the way may be one that goes first
	}
	if err != nil {
		return err
	}
	switch {
	case now == op.Before:
		return nil
	case now.Kind == workspace.Dir && op.Before.Kind == workspace.Absent:
		return j.checkBelow(op)
	}
	return &MeanwhileError{Path: op.Path}
}

// checkBelow wants a directory in a path's place to be emptied by this same request.
func (j *job) checkBelow(op Op) error {
	for _, other := range j.Ops {
		if other.After.Kind == workspace.Absent && strings.HasPrefix(string(other.Path), string(op.Path)+"/") {
			return nil
		}
	}
	return &MeanwhileError{Path: op.Path}
}

// checkParents wants what is in a path's way to be deleted by this same request.
func (j *job) checkParents(op Op) error {
	for _, other := range j.Ops {
		if other.After.Kind == workspace.Absent && strings.HasPrefix(string(op.Path), string(other.Path)+"/") {
			return nil
		}
	}
	return &MeanwhileError{Path: op.Path}
}
