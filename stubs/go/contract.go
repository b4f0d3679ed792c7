package chatstore

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "chatstore.example/go/chatstorev1"
)

// method is what the client must know of a call.
type method struct {
	name    string
	path    string
	isWrite bool
}

// methods are all calls, by their names and by their paths.
var methods = sync.OnceValue(func() map[string]*method {
	found := map[string]*method{}
	protoregistry.GlobalFiles.RangeFilesByPackage("chatstore.v1",
		func(file protoreflect.FileDescriptor) bool {
			services := file.Services()
			for i := range services.Len() {
				addMethods(found, services.Get(i))
			}
			return true
		})
	return found
})

func addMethods(found map[string]*method, service protoreflect.ServiceDescriptor) {
	for i := range service.Methods().Len() {
		descriptor := service.Methods().Get(i)
		options, _ := proto.GetExtension(descriptor.Options(), pb.E_Call).(*pb.CallOptions)
		name := string(descriptor.Name())
		one := &method{
			name:    name,
			path:    "/" + string(service.FullName()) + "/" + name,
			isWrite: options.GetAccess() == pb.Access_ACCESS_WRITE,
		}
		found[one.name] = one
		found[one.path] = one
	}
}

func findMethod(name string) *method {
	return methods()[name]
}
