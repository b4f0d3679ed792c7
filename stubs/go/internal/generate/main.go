// Command generate makes the Go code of the contract; "go generate" in the module's folder runs it.
//
// Environment: CHATSTORE_PROTO_DIR, the folder of chatstore/v1 (default ../../proto); PROTOC, the
// compiler (default protoc); PROTOBUF_INCLUDE, where google/protobuf/timestamp.proto is if protoc
// does not know.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const messagesPath = "chatstore.example/go/chatstorev1"

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate() error {
	protoDir := getenv("CHATSTORE_PROTO_DIR", "../../proto")
	files, err := filepath.Glob(filepath.Join(protoDir, "chatstore/v1/*.proto"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no .proto files in %s (CHATSTORE_PROTO_DIR)", protoDir)
	}
	plugins, err := os.MkdirTemp("", "chatstore-plugins")
	if err != nil {
		return err
	}
	defer os.RemoveAll(plugins)
	err = run("go", "build", "-o", plugins+"/",
		"google.golang.org/protobuf/cmd/protoc-gen-go", "./internal/protoc-gen-calls")
	if err != nil {
		return err
	}
	arguments := []string{
		"-I", protoDir,
		"--plugin=" + filepath.Join(plugins, "protoc-gen-go"),
		"--plugin=" + filepath.Join(plugins, "protoc-gen-calls"),
		"--go_out=.", "--go_opt=module=chatstore.example/go",
		"--calls_out=.",
	}
	if include := os.Getenv("PROTOBUF_INCLUDE"); include != "" {
		arguments = append(arguments, "-I", include)
	}
	for _, file := range files {
		name, err := filepath.Rel(protoDir, file)
		if err != nil {
			return err
		}
		option := "M" + name + "=" + messagesPath
		arguments = append(arguments, "--go_opt="+option, "--calls_opt="+option, name)
	}
	return run(getenv("PROTOC", "protoc"), arguments...)
}

func run(program string, arguments ...string) error {
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

func getenv(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
