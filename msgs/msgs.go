// Package msgs carries the definitions of arfm's own ROS interfaces, so that
// bags can be written and read where no ROS is installed.
package msgs

import "embed"

// Definitions holds arfm/msg/*.msg, arfm/srv/*.srv and arfm/action/*.action.
//
//go:embed arfm/msg/*.msg arfm/srv/*.srv arfm/action/*.action
var Definitions embed.FS
