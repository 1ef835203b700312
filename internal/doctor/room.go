package doctor

// Place is a directory that bottles fill.
type Place struct {
	What string // is kept there: "the machines' disks"
	Dir  string // it may not exist yet
}

// Space is a place and the bytes that are free there.
type Space struct {
	Place
	Free uint64
}

// MinFree is what must be free, in bytes, wherever bottles write: none starts below.
const MinFree = minDisk

// Measure looks at the places.
func Measure(places []Place) ([]Space, error) {
	spaces := make([]Space, 0, len(places))
	for _, place := range places {
		free, err := freeBytes(place.Dir)
		if err != nil {
			return nil, err
		}
		spaces = append(spaces, Space{place, free})
	}
	return spaces, nil
}

// Tightest is the space with the least that a start must not fill any more, or nil.
func Tightest(spaces []Space) *Space {
	var least *Space
	for i := range spaces {
		if s := &spaces[i]; s.Free < MinFree && (least == nil || s.Free < least.Free) {
			least = s
		}
	}
	return least
}
