package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// survivePipes keeps this process alive when whoever reads its output goes away: it owns a
// bottle, which must be taken down. The writes fail then. Programs that are started are not
// affected, as they would be by an ignored signal.
func survivePipes() (stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGPIPE)
	return func() { signal.Stop(caught) }
}
