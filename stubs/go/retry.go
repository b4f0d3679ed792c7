package chatstore

import (
	"math/rand/v2"
	"time"
)

const (
	delayMin    = 20 * time.Millisecond
	delayMax    = time.Second
	leftMin     = 100 * time.Millisecond
	lostMax     = 10
	sourceRetry = 2 * time.Second
)

// retryReason is why a try failed that may be repeated.
type retryReason int

const (
	retryLost   retryReason = iota // the connection: whether the call was carried out is not known
	retryServer                    // the server said UNAVAILABLE: it starts or stops
	retrySource                    // a source is UNAVAILABLE
)

// retry says when a call that has failed is sent again: the rule of docs/clients.md. No clock, no
// waiting.
type retry struct {
	count        int // how often the call was to be sent again
	lostCount    int
	sourceFailed time.Time
}

// delay is the time to wait before the next try; false: there is none.
func (r *retry) delay(reason retryReason, now, deadline time.Time) (time.Duration, bool) {
	left := deadline.Sub(now)
	switch reason {
	case retryLost:
		r.lostCount++
		if r.lostCount >= lostMax {
			return 0, false
		}
	case retrySource:
		if r.sourceFailed.IsZero() {
			r.sourceFailed = now
		}
		left = min(left, r.sourceFailed.Add(sourceRetry).Sub(now))
	}
	if left < leftMin {
		return 0, false
	}
	delay := min(delayMin<<min(r.count, 16), delayMax)
	r.count++
	// Callers that failed together do not come back together; the last try shall have time for its
	// answer.
	return min(delay*3/4+rand.N(delay/2), left/2), true
}
