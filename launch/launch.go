// Package launch carries the contracts that come with arfm.
package launch

import "embed"

// Contracts holds contracts/*.yaml.
//
//go:embed contracts/*.yaml
var Contracts embed.FS
