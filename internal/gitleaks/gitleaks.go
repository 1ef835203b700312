// Package gitleaks reads the rules that gitleaks comes with.
//
// Invariants: they are the ones that were built in, whatever files and variables there are;
// every call reads them anew, so a caller may change what it got.
package gitleaks

import (
	"strings"

	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/config"
)

// Rules does what gitleaks' own constructor does, but in a viper of its own: theirs belongs
// to the whole process.
func Rules() (config.Config, error) {
	reader := viper.New()
	reader.SetConfigType("toml")
	if err := reader.ReadConfig(strings.NewReader(config.DefaultConfig)); err != nil {
		return config.Config{}, err
	}
	var raw config.ViperConfig
	if err := reader.Unmarshal(&raw); err != nil {
		return config.Config{}, err
	}
	return raw.Translate()
}
