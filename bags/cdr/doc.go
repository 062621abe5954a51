// Package cdr reads and writes ROS 2 messages by their definition, with no
// generated code and no ROS installation.
//
// A [Registry] holds definitions: those of the common packages, arfm's own,
// and whatever [Registry.AddDefinition] is given from a recording ("ros2msg"
// or "ros2idl"). [Registry.Type] compiles one into a flat program; the
// resulting [Type] decodes and encodes XCDR1, the encoding that every ROS 2
// middleware puts on the wire: a 4-byte encapsulation header, then the body,
// in which a value of n bytes lies at a multiple of n from the body's start.
//
// Definitions and messages are hostile input: lengths are checked against the
// bytes that are left before anything is allocated, nesting is bounded, and
// recursive definitions are refused.
package cdr
