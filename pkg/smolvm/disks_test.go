package smolvm_test

import (
	"testing"

	"bottle.internal/pkg/smolvm"
)

func TestDisks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		want string
	}{
		{smolvm.NameSmolvm, []string{"HOME=/h"}, "/h/.cache/smolvm/vms"},
		{smolvm.NameSmolvm, []string{"HOME=/h", "XDG_CACHE_HOME=/c", "XDG_DATA_HOME=/d"}, "/c/smolvm/vms"},
		{smolvm.NameSmolvm, []string{"HOME=/h", "XDG_CACHE_HOME=relative"}, "/h/.cache/smolvm/vms"},
		{smolvm.NameSmolvm, []string{"HOME=/h", "XDG_CACHE_HOME=/c", "SMOLVM_DATA_DIR=/s"}, "/s/.cache/smolvm/vms"},
		{smolvm.NameLite, []string{"HOME=/h", "SMOLVM_DATA_DIR=/s"}, "/h/.local/share/smolvm-lite/machines"},
		{smolvm.NameLite, []string{"HOME=/h", "XDG_DATA_HOME=/first", "XDG_DATA_HOME=/d"}, "/d/smolvm-lite/machines"},
	} {
		if got := (smolvm.Tool{Name: test.name}).Disks(test.env); got != test.want {
			t.Errorf("%s, %q: %s, want %s", test.name, test.env, got, test.want)
		}
	}
}
