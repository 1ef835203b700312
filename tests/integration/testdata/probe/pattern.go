package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// pattern is an endless stream that never repeats a block: a lost, doubled or swapped
// piece changes its hash. It is cheap, because an emulated processor makes it.
type pattern struct {
	state uint64
	left  []byte
	block [4096]byte
}

func newPattern(seed uint64) *pattern { return &pattern{state: seed*0x9e3779b97f4a7c15 + 1} }

func (p *pattern) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if len(p.left) == 0 {
			for i := 0; i < len(p.block); i += 8 {
				p.state ^= p.state << 13
				p.state ^= p.state >> 7
				p.state ^= p.state << 17
				binary.LittleEndian.PutUint64(p.block[i:], p.state)
			}
			p.left = p.block[:]
		}
		c := copy(b[n:], p.left)
		n, p.left = n+c, p.left[c:]
	}
	return n, nil
}

// sum is the hash of the first size bytes of a pattern.
func sum(seed uint64, size int64) string {
	h := sha256.New()
	_, _ = io.CopyN(h, newPattern(seed), size)
	return hex.EncodeToString(h.Sum(nil))
}

// meter hashes and counts what passes.
type meter struct {
	hash  hash.Hash
	count int64
}

func newMeter() *meter { return &meter{hash: sha256.New()} }

func (m *meter) Write(b []byte) (int, error) {
	m.count += int64(len(b))
	return m.hash.Write(b)
}

// check compares what passed with the pattern that was sent.
func (m *meter) check(seed uint64, size int64) error {
	if m.count != size {
		return fmt.Errorf("%d bytes arrived, %d were sent", m.count, size)
	}
	if got := hex.EncodeToString(m.hash.Sum(nil)); got != sum(seed, size) {
		return fmt.Errorf("%d bytes arrived, but not those that were sent", size)
	}
	return nil
}
