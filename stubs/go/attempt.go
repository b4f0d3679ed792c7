package chatstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	pb "chatstore.example/go/chatstorev1"
)

const unknownOutcome = "; whether it was carried out is not known"

// attempt is one call from its request to its response, over as many tries as its time allows.
//
// A try that lost the server or was answered UNAVAILABLE is repeated as retry says. Reads may be
// repeated without harm; writes carry a request id, the same in every try, by which the server does
// them once.
type attempt struct {
	method    *method
	request   *pb.Request
	settings  callSettings
	retry     retry
	isUnknown bool
}

func newAttempt(
	m *method, request proto.Message, options *Options, choices []CallOption,
) (*attempt, error) {
	a := &attempt{method: m}
	for _, choose := range choices {
		choose(&a.settings)
	}
	payload, err := proto.Marshal(request)
	if err != nil {
		return nil, a.failure(InvalidArgument, err.Error())
	}
	if len(payload) > options.RequestBytesMax {
		return nil, a.failure(ResourceExhausted, fmt.Sprintf(
			"the request has %d bytes; at most %d are sent (RequestBytesMax)", len(payload), options.RequestBytesMax))
	}
	call := &pb.Call{Method: m.path, Payload: payload}
	if m.isWrite {
		call.RequestId = a.settings.requestID
		if call.RequestId == "" {
			call.RequestId = NewRequestID()
		}
	}
	a.request = &pb.Request{Token: options.Token, Calls: []*pb.Call{call}}
	return a, nil
}

// frame is the encoded Request of the next try.
func (a *attempt) frame(ctx context.Context) ([]byte, error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline).Milliseconds() + 1
	a.request.Calls[0].TimeoutMs = uint32(min(max(left, 1), math.MaxUint32))
	return proto.Marshal(a.request)
}

// read puts the reply's result into response; its error is what the status says.
func (a *attempt) read(frame []byte, response proto.Message) error {
	reply := &pb.Reply{}
	if err := proto.Unmarshal(frame, reply); err != nil {
		return a.failure(Internal, "the reply cannot be read: "+err.Error())
	}
	if len(reply.Results) != 1 {
		return a.failure(Internal, fmt.Sprintf("%d results for one call", len(reply.Results)))
	}
	result := reply.Results[0]
	if outcome := a.settings.outcome; outcome != nil {
		*outcome = Outcome{
			Source:        result.Source,
			MergedSources: result.MergedSources,
			FailedSources: result.FailedSources,
			Attempts:      a.retry.count + 1,
		}
	}
	if code := result.GetStatus().GetCode(); code != 0 {
		return &Error{
			Code:          Code(code),
			Message:       result.Status.Message,
			Method:        a.method.name,
			Source:        result.Source,
			FailedSources: result.FailedSources,
		}
	}
	if err := proto.Unmarshal(result.Payload, response); err != nil {
		return a.failure(Internal, "the response cannot be read: "+err.Error())
	}
	return nil
}

// failed waits for the next try; its error is the call's, if there is none.
func (a *attempt) failed(ctx context.Context, err error) error {
	var broken *lost
	var failure *Error
	reason := retryLost
	if !errors.As(err, &broken) {
		if !errors.As(err, &failure) || failure.Code != Unavailable || failure.cause != nil {
			return err
		}
		reason = failure.retryReason()
	}
	a.isUnknown = a.isUnknown || broken != nil
	deadline, _ := ctx.Deadline()
	delay, ok := a.retry.delay(reason, time.Now(), deadline)
	if !ok {
		return a.last(err, broken)
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return a.ended(ctx.Err(), "")
	}
}

func (a *attempt) last(err error, broken *lost) error {
	switch {
	case broken == nil:
		return err
	case a.method.isWrite:
		return a.failure(DeadlineExceeded, broken.Error()+unknownOutcome)
	default:
		return a.failure(Unavailable, broken.Error()+unknownOutcome)
	}
}

// ended is the error of a call whose context ended while it waited for what.
func (a *attempt) ended(cause error, what string) error {
	code := DeadlineExceeded
	switch {
	case errors.Is(cause, context.Canceled):
		code, what = Canceled, "canceled"
	case !a.isUnknown:
		code = Unavailable
	}
	if a.isUnknown {
		what += unknownOutcome
	}
	failure := a.failure(code, what)
	failure.cause = cause
	return failure
}

func (a *attempt) failure(code Code, text string) *Error {
	return &Error{Code: code, Message: a.method.name + ": " + text, Method: a.method.name}
}
