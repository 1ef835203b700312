package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"bottle.internal/internal/printable"
)

const (
	// maxFields bounds the encoded fields of a record, maxText what is kept of a text.
	maxFields = 32 << 10
	maxText   = 4 << 10
	// maxLine bounds a line of the file: its fields, and the rest, which is small.
	maxLine = 64 << 10
	// maxDepth bounds nesting: a reader of JSON gives up somewhere, and the line that holds
	// the fields must not be deeper than that.
	maxDepth = 32
)

// genesis stands for the hash of the line before the first one.
const genesis = "0000000000000000000000000000000000000000000000000000000000000000"

// body is what the hash of a line is over.
type body struct {
	Seq    uint64          `json:"seq"`
	Time   time.Time       `json:"time"`
	Source Source          `json:"source"`
	Event  string          `json:"event"`
	Fields json.RawMessage `json:"fields"`
	Prev   string          `json:"prev"`
}

// Line is one line of a log.
type Line struct {
	Seq    uint64          `json:"seq"` // counts from 1
	Time   time.Time       `json:"time"`
	Source Source          `json:"source"`
	Event  string          `json:"event"`
	Fields json.RawMessage `json:"fields"`
	Prev   string          `json:"prev"` // the hash of the line before
	Hash   string          `json:"hash"`
}

// Encode is the line as it is in the file, without its end.
func (l Line) Encode() ([]byte, error) {
	line, _, err := body{l.Seq, l.Time, l.Source, l.Event, l.Fields, l.Prev}.encode()
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// IsOwn reports whether it is one of the log's own records.
func (l Line) IsOwn() bool { return l.Source == self }

// IsHead reports whether it signs the lines before it.
func (l Line) IsHead() bool { return l.IsOwn() && l.Event == eventHead }

const (
	hashKey  = `,"hash":"`
	hashEnd  = `"}`
	hashSize = len(hashKey) + 2*sha256.Size + len(hashEnd)
)

// encode returns the line, with its end, and its hash.
func (b body) encode() (line []byte, hash string, err error) {
	b.Time = b.Time.UTC().Truncate(time.Microsecond)
	text, err := marshal(b)
	if err != nil {
		return nil, "", fmt.Errorf("encoding a record: %w", err)
	}
	hash = hashOf(text)
	text = append(text[:len(text)-1], hashKey+hash+hashEnd+"\n"...)
	return text, hash, nil
}

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// decode is strict: a line has one spelling, so that no two readers see two things in it.
func decode(text []byte) (Line, error) {
	var line Line
	at := len(text) - hashSize
	if at < 0 || !bytes.HasPrefix(text[at:], []byte(hashKey)) || !bytes.HasSuffix(text, []byte(hashEnd)) {
		return line, errors.New("is no record")
	}
	inner := append(bytes.Clone(text[:at]), '}')
	if hash := string(text[at+len(hashKey) : len(text)-len(hashEnd)]); hashOf(inner) != hash {
		return line, errors.New("does not have the hash that it names")
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return line, errors.New("is no record")
	}
	again, err := marshal(body{line.Seq, line.Time, line.Source, line.Event, line.Fields, line.Prev})
	if err != nil || !bytes.Equal(again, inner) || !isObject(line.Fields) {
		return line, errors.New("is not spelled as a record is")
	}
	return line, nil
}

// marshal is JSON without the escapes that only HTML needs.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// toObject turns what a caller gave into a tree that can be walked.
func toObject(fields any) (map[string]any, error) {
	if fields == nil {
		return map[string]any{}, nil
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encoding the fields: %w", err)
	}
	object, ok := parseObject(raw)
	if !ok {
		return nil, errors.New("the fields are no JSON object, or a very deep one")
	}
	return object, nil
}

// parseObject reads exactly one JSON object.
func parseObject(raw []byte) (map[string]any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a number stays as it was written
	var object map[string]any
	if decoder.Decode(&object) != nil || object == nil {
		return nil, false
	}
	_, err := decoder.Token()
	return object, errors.Is(err, io.EOF) && isFlat(object, maxDepth)
}

func isFlat(value any, depth int) bool {
	if depth < 0 {
		return false
	}
	deep := func(v any) bool { return !isFlat(v, depth-1) }
	switch v := value.(type) {
	case []any:
		return !slices.ContainsFunc(v, deep)
	case map[string]any:
		for _, inner := range v {
			if deep(inner) {
				return false
			}
		}
	}
	return true
}

// encodeFields bounds the fields: of too many, the beginning is kept as a text.
func encodeFields(object map[string]any) json.RawMessage {
	raw, err := marshal(object)
	if err != nil {
		return textFields("fields that cannot be encoded", true)
	}
	if len(raw) > maxFields {
		return textFields(string(raw), true)
	}
	return raw
}

// textFields wraps a text that is safe to show already, or makes it so.
func textFields(text string, truncated bool) json.RawMessage {
	if len(text) > maxText {
		text, truncated = text[:maxText], true
	}
	fields := map[string]any{"text": printable.SafeText(text)}
	if truncated {
		fields["truncated"] = true
	}
	raw, err := marshal(fields)
	if err != nil {
		return json.RawMessage(`{}`) // a map with a string and a bool always encodes
	}
	return raw
}
