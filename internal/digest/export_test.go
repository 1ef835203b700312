package digest

var At = of
