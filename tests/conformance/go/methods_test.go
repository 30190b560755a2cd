package main

import (
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func TestEveryMethodOfTheContractHasALine(t *testing.T) {
	var contract []string
	protoregistry.GlobalFiles.RangeFilesByPackage("celeste.image.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				contract = append(contract, string(service.Name()+"/"+service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	slices.Sort(contract)
	if lines := slices.Sorted(maps.Keys(methods(nil))); !slices.Equal(contract, lines) {
		t.Errorf("the contract has\n%v\nthe runner has\n%v", contract, lines)
	}
}
