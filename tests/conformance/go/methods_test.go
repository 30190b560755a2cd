package main

import (
	"maps"
	"slices"
	"testing"

	imagev1 "github.com/celeste-image/celeste/clients/go/celeste/image/v1"
	"google.golang.org/grpc"
)

// ArtifactHttpService is for HTTP clients only, so the runner has no calls for it.
var services = []grpc.ServiceDesc{
	imagev1.ArtifactService_ServiceDesc,
	imagev1.ImageService_ServiceDesc,
	imagev1.ModelService_ServiceDesc,
}

func TestEveryMethodOfTheContractHasALine(t *testing.T) {
	var contract []string
	for _, service := range services {
		name := service.ServiceName[len("celeste.image.v1."):] + "/"
		for _, method := range service.Methods {
			contract = append(contract, name+method.MethodName)
		}
		for _, stream := range service.Streams {
			contract = append(contract, name+stream.StreamName)
		}
	}
	slices.Sort(contract)
	if lines := slices.Sorted(maps.Keys(methods(nil))); !slices.Equal(contract, lines) {
		t.Errorf("the contract has\n%v\nthe runner has\n%v", contract, lines)
	}
}
