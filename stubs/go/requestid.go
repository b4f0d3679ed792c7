package chatstore

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"
)

// NewRequestID makes a UUID of version 7: time-ordered, which keeps the server's index of them dense.
func NewRequestID() string {
	var id [16]byte
	if _, err := rand.Read(id[6:]); err != nil {
		panic(fmt.Sprintf("chatstore: the system has no random numbers: %v", err))
	}
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint32(id[0:], uint32(now>>16))
	binary.BigEndian.PutUint16(id[4:], uint16(now))
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:])
}
