// Package shell writes commands that a user can copy into a shell.
package shell

import "strings"

// plain are the characters that mean themselves to every POSIX shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"

// Join returns a command of the words, those in quotes that a POSIX shell would
// otherwise take apart (POSIX.1-2017, XCU 2.2).
func Join(words ...string) string {
	out := make([]string, len(words))
	for i, word := range words {
		if out[i] = word; word == "" || strings.Trim(word, plain) != "" {
			out[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}
