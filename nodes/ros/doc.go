// Package ros puts arfm on ROS 2. It wraps rclgo, and is the only package that
// imports it, with what a node needs and rclgo lacks: messages as cdr records of
// any installed type, without generated bindings; groups of callbacks that new
// entities can join; parameters, lifecycle, /clock and actions.
//
// The package needs the build tag ros and a sourced ROS 2 environment; without
// the tag only Definitions is here.
package ros
