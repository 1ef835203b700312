package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/printable"
)

func promptModeFlag(flags *pflag.FlagSet) *string {
	return flags.String("prompt-mode", "auto", "auto, batch or interactive: how the agent takes its prompt; the `mode` auto is batch without a terminal")
}

func promptMode(text string) (plan.PromptMode, error) {
	switch text {
	case "auto":
		return plan.PromptAuto, nil
	case string(plan.PromptBatch), string(plan.PromptInteractive):
		return plan.PromptMode(text), nil
	}
	return "", &usageError{text: fmt.Sprintf("--prompt-mode is auto, batch or interactive, not %q", printable.SafeText(text))}
}
