package chatstore

import (
	"errors"
	"strconv"

	pb "chatstore.example/go/chatstorev1"
)

// Code is the status of a failed call, a google.rpc code.
type Code int32

// The statuses that calls fail with.
const (
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	DataLoss           Code = 15
	Unauthenticated    Code = 16
)

var codeNames = map[Code]string{
	0:                  "OK",
	Canceled:           "CANCELLED",
	Unknown:            "UNKNOWN",
	InvalidArgument:    "INVALID_ARGUMENT",
	DeadlineExceeded:   "DEADLINE_EXCEEDED",
	NotFound:           "NOT_FOUND",
	AlreadyExists:      "ALREADY_EXISTS",
	PermissionDenied:   "PERMISSION_DENIED",
	ResourceExhausted:  "RESOURCE_EXHAUSTED",
	FailedPrecondition: "FAILED_PRECONDITION",
	Aborted:            "ABORTED",
	Unimplemented:      "UNIMPLEMENTED",
	Internal:           "INTERNAL",
	Unavailable:        "UNAVAILABLE",
	DataLoss:           "DATA_LOSS",
	Unauthenticated:    "UNAUTHENTICATED",
}

// String is the status by its name, as in "INVALID_ARGUMENT".
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "status " + strconv.Itoa(int(c))
}

// Error is what every failed call returns.
type Error struct {
	Code    Code
	Message string
	// Method is the call, as in "GetChatUser"; empty where the client itself failed.
	Method string
	// Source is the source that answered; empty if none did.
	Source string
	// FailedSources are the sources that failed in a merged read.
	FailedSources []*pb.SourceFailure

	cause error
}

func (e *Error) Error() string {
	return e.Code.String() + ": " + e.Message
}

// Unwrap is the context's error where the context ended the call.
func (e *Error) Unwrap() error {
	return e.cause
}

// retryReason is who is UNAVAILABLE: a source that does not answer is named; what names none is the
// server's own.
func (e *Error) retryReason() retryReason {
	if e.Source != "" || len(e.FailedSources) > 0 {
		return retrySource
	}
	return retryServer
}

// CodeOf is the status of an error; 0 for nil, Unknown for an error of others.
func CodeOf(err error) Code {
	var failure *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failure):
		return failure.Code
	default:
		return Unknown
	}
}

// lost says that the connection broke while a request was under way.
type lost struct{ cause error }

func (l *lost) Error() string { return "the connection broke: " + l.cause.Error() }
