package ownsock

var (
	Bind     = bind
	ListenOn = listen
)
