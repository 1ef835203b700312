package report_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	source "github.com/yuin/goldmark/text"
	"golang.org/x/net/html"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/audit/report"
	"bottle.internal/internal/audit/report/reporttest"
)

// hostileLines says a text in every field that comes to a page, from every source.
func hostileLines(t testing.TB, evil string) []audit.Line {
	t.Helper()
	raw, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	s := func(format string) json.RawMessage {
		return json.RawMessage(strings.ReplaceAll(format, "$", string(raw)))
	}
	return []audit.Line{
		{Source: audit.Launch, Event: "launch", Fields: s(`{"identity":$,"agent":$,"bottle":$,"manifest":$,"firewall":$,"vm_tool":$,"more":$}`)},
		{Source: audit.Host, Event: "receipt", Fields: s(`{"note":$,"results":[{"probe":$,"target":$,"control":$,"expected":$,"observed":$,"hits":$,"verdict":$},{"probe":$,"verdict":"FAILED"}]}`)},
		{Source: audit.Firewall, Event: "allow", Fields: s(`{"method":$,"host":$,"port":443}`)},
		{Source: audit.Firewall, Event: "deny", Fields: s(`{"method":$,"host":$,"path":$,"rule":$,"reason":$}`)},
		{Source: audit.Egress, Event: "canary", Fields: s(`{"host":$,"reason":$}`)},
		{Source: audit.GitGate, Event: "push-deny", Fields: s(`{"push":1,"remote":$,"rule":$,"path":$,"line":3,"reason":$,"refs":[{"ref":$,"old":$,"new":$}]}`)},
		{Source: audit.GitGate, Event: "approval", Fields: s(`{"push":2,"remote":$,"decision":$,"reason":$}`)},
		{Source: audit.Host, Event: "proposal", Fields: s(`{"id":"1","kind":$,"capability":$,"justification":$}`)},
		{Source: audit.Host, Event: "decision", Fields: s(`{"id":"1","kind":$,"status":$,"by":$,"note":$,"problem":$}`)},
		{Source: audit.Host, Event: "exit", Fields: s(`{"error":$}`)},
		{Source: audit.Supervise, Event: "deny", Fields: s(`{"tool":$,"rule":$,"problem":$}`)},
		{Source: audit.Init, Event: "text", Fields: s(`{"text":$,$:$}`)},
		{Source: audit.Source(evil), Event: evil, Fields: s(`{}`)},
	}
}

// made is the report of lines, whether they could be in a log or not.
func made(t testing.TB, name string, lines []audit.Line) report.Report {
	t.Helper()
	b := report.New()
	for i, line := range lines {
		line.Seq = uint64(i + 1)
		if err := b.Visit(line); err != nil {
			t.Fatal(err)
		}
	}
	return b.Report(report.About{Name: name}, audit.Expect{}, audit.Summary{}, nil)
}

func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for _, evil := range reporttest.Hostile() {
		page, markdown := render(t, made(t, evil, hostileLines(t, evil)))
		checkPage(t, page)
		checkMarkdown(t, markdown)
		if t.Failed() {
			t.Fatalf("by %q", evil)
		}
	}
	log, _ := run(t)
	page, markdown := render(t, read(t, log, report.About{Name: "demo-x7k2p"}, audit.Expect{}))
	checkPage(t, page)
	checkMarkdown(t, markdown)
}

// checkMarkdown reads a page as GitHub does: hostile text must be code and nothing else.
func checkMarkdown(t testing.TB, page string) {
	t.Helper()
	if i := strings.IndexFunc(page, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); i >= 0 {
		t.Errorf("a character that is not printable: %.20q", page[i:])
	}
	raw := []byte(page)
	root := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote, extension.DefinitionList)).Parser().Parse(source.NewReader(raw))
	var headings []string
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch node := n.(type) {
		case *ast.Link, *ast.AutoLink, *ast.Image, *ast.RawHTML, *ast.HTMLBlock, *ast.CodeBlock, *ast.FencedCodeBlock, *ast.ThematicBreak, *tables.Strikethrough:
			t.Errorf("the page has a %s", n.Kind())
		case *ast.Heading:
			headings = append(headings, strings.Split(string(node.Lines().Value(raw)), "`")[0])
		case *ast.Text:
			if _, code := node.Parent().(*ast.CodeSpan); !code && strings.Contains(string(node.Value(raw)), "evil") {
				t.Errorf("not in code: %q", node.Value(raw))
			}
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// A parser pads a row or cuts it to the width of its table: the bars decide.
	bars := 0
	for line := range strings.Lines(page) {
		n := strings.Count(line, "|")
		if bars > 0 && n > 0 && n != bars || n > 0 && !strings.HasPrefix(line, "|") {
			t.Errorf("a row with %d bars in a table with %d: %s", n, bars, line)
		}
		bars = n
	}
	for _, heading := range headings {
		if !regexp.MustCompile(`^(Report of |At a glance|Alarms|Run \d+|Hosts|Refusals|Pushes|What the agent asked for|Receipt|Events)$`).MatchString(heading) {
			t.Errorf("the page has a heading %q", heading)
		}
	}
}

// checkPage looks for everything in a page that is more than text.
func checkPage(t testing.TB, page string) {
	t.Helper()
	allowed := strings.Fields("html head meta title style body main header section h1 h2 h3 p div strong code ul li b span dl dt dd figure figcaption svg g title line text path table thead tbody tr th td details summary br footer")
	attributes := strings.Fields("lang charset http-equiv content name class aria-labelledby aria-label aria-hidden id role tabindex scope colspan data-name viewbox x y dx x1 x2 y1 y2 d text-anchor")
	styles := 0
	for tokens := html.NewTokenizer(strings.NewReader(page)); ; {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			break
		}
		token := tokens.Token()
		switch kind {
		case html.CommentToken:
			t.Errorf("the page has a comment: %.40q", token.Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			if !slices.Contains(allowed, token.Data) {
				t.Errorf("the page has a <%s>", token.Data)
			}
			if token.Data == "style" {
				styles++
			}
			for _, a := range token.Attr {
				if !slices.Contains(attributes, a.Key) {
					t.Errorf("the page has a %s=%.40q", a.Key, a.Val)
				}
			}
		case html.TextToken:
			if i := strings.IndexFunc(token.Data, func(r rune) bool {
				return r != '\n' && r < ' ' || r == 0x7f || r > '~' && !strings.ContainsRune("→–“”\u00a0", r)
			}); i >= 0 {
				t.Errorf("a character that is not printable: %.20q", token.Data[i:])
			}
		case html.EndTagToken, html.DoctypeToken, html.ErrorToken:
		}
	}
	if styles != 1 {
		t.Errorf("the page has %d style sheets", styles)
	}
	if n := strings.Count(page, "<tr"); n != strings.Count(page, "</tr>") {
		t.Errorf("%d rows begin, and others end", n)
	}
}

func FuzzHostile(f *testing.F) {
	for _, evil := range reporttest.Hostile() {
		f.Add(evil)
	}
	f.Fuzz(func(t *testing.T, evil string) {
		page, markdown := render(t, made(t, evil, hostileLines(t, evil)))
		checkPage(t, page)
		checkMarkdown(t, markdown)
	})
}

// FuzzFields: a daemon that was taken over can write any object.
func FuzzFields(f *testing.F) {
	for _, line := range hostileLines(f, "x") {
		f.Add(string(line.Source), line.Event, string(line.Fields))
	}
	f.Add("firewall", "close", `{"host":"a","bytes_up":-9223372036854775808,"port":-1,"count":-5}`)
	f.Add("git-gate", "push-allow", `{"push":18446744073709551615,"refs":[null,{}],"commits":1e99}`)
	f.Fuzz(func(t *testing.T, source, event, fields string) {
		var object map[string]any
		if json.Unmarshal([]byte(fields), &object) != nil {
			t.Skip()
		}
		line := audit.Line{Source: audit.Source(source), Event: event, Fields: json.RawMessage(fields)}
		page, markdown := render(t, made(t, "x", []audit.Line{line, line}))
		checkPage(t, page)
		checkMarkdown(t, markdown)
	})
}
