package stick

import "errors"

// Errors of sticks. The error of the system call is wrapped beside them.
var (
	ErrGone       = errors.New("the stick is not plugged in any more")
	ErrReadOnly   = errors.New("the stick is write-protected")
	ErrFull       = errors.New("there is no room on the stick")
	ErrFilesystem = errors.New("the file system on the stick cannot be mounted")
	ErrNotWritten = errors.New("what is read from the stick is not what was written")
	ErrName       = errors.New("not a name for a file on a stick")
)
