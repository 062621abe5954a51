package cdr

import "errors"

// The reasons for which definitions and messages are refused.
var (
	// ErrUnknownType: no definition of that name, or of one it refers to.
	ErrUnknownType = errors.New("unknown message type")
	// ErrEncoding: a definition in another language than ros2msg or ros2idl.
	ErrEncoding = errors.New("unknown definition encoding")
	// ErrDefinition: a definition that cannot be parsed.
	ErrDefinition = errors.New("bad message definition")
	// ErrRecursive: a message that contains itself.
	ErrRecursive = errors.New("recursive message definition")
	// ErrLimit: a definition or message larger than this package accepts.
	ErrLimit = errors.New("over the limit")
	// ErrEncapsulation: a message without an XCDR1 encapsulation header.
	ErrEncapsulation = errors.New("unsupported CDR encapsulation")
	// ErrXCDR2: a message in the second version of CDR, which ROS 2 does not use.
	ErrXCDR2 = errors.New("XCDR2 encapsulation")
	// ErrTruncated: a message that ends before its definition does.
	ErrTruncated = errors.New("message too short")
	// ErrTrailing: a message that goes on after its definition has ended.
	ErrTrailing = errors.New("message too long")
	// ErrValue: a value that its type does not allow.
	ErrValue = errors.New("value not allowed")
	// ErrPath: a field path that the message does not have.
	ErrPath = errors.New("no such field")
)
