package transfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"bottle.internal/internal/state"
	"bottle.internal/internal/workspace"
)

// ReadRecord says where a bottle's workspace came from; without one it is an
// [os.ErrNotExist].
func ReadRecord(instance *state.Instance) (record workspace.Record, err error) {
	text, err := os.ReadFile(instance.Path(state.WorkspaceFile))
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil {
		return workspace.Record{}, fmt.Errorf("reading where the workspace came from: %w", err)
	}
	return record, nil
}

func writeRecord(instance *state.Instance, record workspace.Record) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return instance.WriteFile(state.WorkspaceFile, append(text, '\n'))
}

func readBase(instance *state.Instance) (workspace.Base, error) {
	file, err := os.Open(instance.Path(state.WorkspaceBase))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return workspace.ReadBase(file, workspace.DefaultLimits().Files*2)
}

func writeBase(instance *state.Instance, base workspace.Base) error {
	var text bytes.Buffer
	if _, err := base.WriteTo(&text); err != nil {
		return err
	}
	return instance.WriteFile(state.WorkspaceBase, text.Bytes())
}
