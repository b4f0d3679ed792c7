package tests

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	chatstore "chatstore.example/go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	bytes, err := os.ReadFile(filepath.Join(os.Getenv("CHATSTORE_SOURCE_DIR"), "tests/vectors", name))
	must(t, err)
	must(t, json.Unmarshal(bytes, into))
}

func newMessage(t *testing.T, name protoreflect.FullName) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(name)
	must(t, err)
	return kind.New().Interface()
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	bytes, err := hex.DecodeString(text)
	must(t, err)
	return bytes
}

// checkMessage holds bytes and JSON of one message against each other, both ways.
func checkMessage(t *testing.T, name protoreflect.FullName, encoded []byte, text json.RawMessage) {
	t.Helper()
	fromBytes, fromText := newMessage(t, name), newMessage(t, name)
	must(t, proto.Unmarshal(encoded, fromBytes))
	must(t, protojson.Unmarshal(text, fromText))
	if !proto.Equal(fromBytes, fromText) {
		t.Errorf("%s: bytes say %v, JSON %v", name, fromBytes, fromText)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(fromText)
	must(t, err)
	if !bytes.Equal(again, encoded) {
		t.Errorf("%s: encoded as %x, want %x", name, again, encoded)
	}
}

func TestMessageVectors(t *testing.T) {
	var vectors []struct {
		Message, Case, Hex string
		JSON               json.RawMessage
	}
	readVectors(t, "messages.json", &vectors)
	for _, each := range vectors {
		t.Run(each.Message+" "+each.Case, func(t *testing.T) {
			checkMessage(t, protoreflect.FullName("chatstore.v1."+each.Message), fromHex(t, each.Hex), each.JSON)
		})
	}
	if len(vectors) < 100 {
		t.Errorf("only %d vectors", len(vectors))
	}
}

func TestFrameVectors(t *testing.T) {
	var vectors []struct {
		Name, Direction, TCP, IPC string
		ID                        uint32
		Envelope                  json.RawMessage
	}
	readVectors(t, "frames.json", &vectors)
	for _, each := range vectors {
		t.Run(each.Name, func(t *testing.T) {
			name := map[string]protoreflect.FullName{
				"request": "chatstore.v1.Request", "reply": "chatstore.v1.Reply"}[each.Direction]
			checkMessage(t, name, fromHex(t, each.TCP)[12:], each.Envelope)
			checkMessage(t, name, fromHex(t, each.IPC)[13:], each.Envelope)
		})
	}
}

// The conversation of calls.json with a fresh database, over each transport.
func TestConversation(t *testing.T) {
	var vectors []struct {
		Method, Status string
		RequestHex     string `json:"request_hex"`
		Request        json.RawMessage
		Response       json.RawMessage
	}
	readVectors(t, "calls.json", &vectors)
	for _, scheme := range []string{"ipc", "tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			server := startServer(t, t.TempDir(), "--db", "bot.db")
			client := open(t, server.urls[scheme], nil)
			for number, each := range vectors {
				parts := strings.Split(each.Method, "/")
				prefix := protoreflect.FullName("chatstore.v1." + parts[2])
				checkMessage(t, prefix+"Request", fromHex(t, each.RequestHex), each.Request)
				request := newMessage(t, prefix+"Request")
				must(t, protojson.Unmarshal(each.Request, request))
				response := newMessage(t, prefix+"Response")
				err := client.Call(within(t, 20*time.Second), each.Method, request, response)
				if chatstore.CodeOf(err).String() != each.Status {
					t.Fatalf("call %d, %s: %v, want %s", number, parts[2], err, each.Status)
				}
				if err == nil && string(each.Response) != "null" {
					compare(t, number, response, each.Response)
				}
			}
		})
	}
}

func compare(t *testing.T, number int, response proto.Message, text json.RawMessage) {
	t.Helper()
	expected := response.ProtoReflect().New().Interface()
	must(t, protojson.Unmarshal(text, expected))
	clearTimes(response.ProtoReflect())
	if !proto.Equal(response, expected) {
		t.Errorf("call %d: got %v, want %v", number, response, expected)
	}
}

// clearTimes removes the times that a server sets by its clock, wherever they are.
func clearTimes(message protoreflect.Message) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Name() == "created_at" || field.Name() == "updated_at":
			message.Clear(field)
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				clearTimes(value.List().Get(i).Message())
			}
		case field.Message() != nil:
			clearTimes(value.Message())
		}
		return true
	})
}
