package clienthello

import "encoding/binary"

// cursor eats a byte slice from the front; every method reports whether there was
// enough, and leaves the rest untouched when not.
type cursor []byte

func (c *cursor) skip(n int) bool {
	if len(*c) < n {
		return false
	}
	*c = (*c)[n:]
	return true
}

func (c *cursor) uint8(out *byte) bool {
	if len(*c) < 1 {
		return false
	}
	*out = (*c)[0]
	return c.skip(1)
}

func (c *cursor) uint16(out *uint16) bool {
	if len(*c) < 2 {
		return false
	}
	*out = binary.BigEndian.Uint16(*c)
	return c.skip(2)
}

func (c *cursor) vector8(out *cursor) bool {
	var n byte
	return c.uint8(&n) && c.bytes(int(n), out)
}

func (c *cursor) vector16(out *cursor) bool {
	var n uint16
	return c.uint16(&n) && c.bytes(int(n), out)
}

func (c *cursor) bytes(n int, out *cursor) bool {
	if len(*c) < n {
		return false
	}
	*out = (*c)[:n:n]
	return c.skip(n)
}
