package state

import (
	"errors"
	"io/fs"
	"os"
)

// Wish is what somebody who ends a bottle wants to become of it. The owner is asked by a
// signal, which cannot say so.
type Wish string

// The wishes.
const (
	NoWish     Wish = ""
	WishRemove Wish = "remove"
	WishKeep   Wish = "keep"
)

// SetWish leaves word for the owner; NoWish takes it back.
func (i *Instance) SetWish(wish Wish) error {
	if wish == NoWish {
		if err := os.Remove(i.Path(WishFile)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return i.WriteFile(WishFile, []byte(wish))
}

// Wish is what was asked for. One that cannot be read is none.
func (i *Instance) Wish() Wish {
	data, err := os.ReadFile(i.Path(WishFile))
	if wish := Wish(data); err == nil && (wish == WishRemove || wish == WishKeep) {
		return wish
	}
	return NoWish
}
