// Package ros puts arfm on ROS 2. It wraps rclgo, and is the only package that
// imports it, with what a node needs and rclgo lacks: messages as cdr records of
// any installed type, without generated bindings; groups of callbacks that new
// entities can join; parameters, lifecycle, /clock, diagnostics and actions.
//
// The package needs the build tag ros and a sourced ROS 2 environment; without
// the tag only what needs no ROS is here: Definitions, the states of a
// lifecycle, the clock and the status of diagnostics.
package ros
