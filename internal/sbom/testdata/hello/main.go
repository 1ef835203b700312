// Command hello is a small Go program for the tests of package sbom to look into.
package main

func main() { println("hello") }
