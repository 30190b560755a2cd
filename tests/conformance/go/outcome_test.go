package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"

	imagev1 "github.com/celeste-image/celeste/clients/go/celeste/image/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// newer is a server whose error details this client does not know.
type newer struct {
	imagev1.UnimplementedModelServiceServer
}

func (newer) GetModel(ctx context.Context, _ *imagev1.GetModelRequest) (*imagev1.GetModelResponse, error) {
	request, _ := metadata.FromIncomingContext(ctx)
	if err := grpc.SetTrailer(ctx, metadata.Pairs("echo-bin", request.Get("given-bin")[0])); err != nil {
		return nil, err
	}
	failure := status.New(codes.Canceled, "of tomorrow").Proto()
	failure.Details = []*anypb.Any{
		{TypeUrl: "type.googleapis.com/celeste.image.v9.Tomorrow", Value: []byte{8, 1}},
		{TypeUrl: "type.googleapis.com/celeste.image.v1.FailureInfo", Value: []byte("\n\x02id")},
	}
	return nil, status.FromProto(failure).Err()
}

func (newer) GetServerInfo(context.Context, *imagev1.GetServerInfoRequest) (*imagev1.GetServerInfoResponse, error) {
	return &imagev1.GetServerInfoResponse{Version: string(make([]byte, 5<<20))}, nil
}

func outcomesOf(t *testing.T, cases ...Case) []*Outcome {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	imagev1.RegisterModelServiceServer(server, newer{})
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	for i := range cases {
		cases[i].Address = listener.Addr().String()
	}
	plan, err := json.Marshal(Plan{Transport: "grpc", Cases: cases})
	if err != nil {
		t.Fatal(err)
	}
	planPath, outcomesPath := filepath.Join(t.TempDir(), "plan"), filepath.Join(t.TempDir(), "outcomes")
	if err := os.WriteFile(planPath, plan, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(planPath, outcomesPath); err != nil {
		t.Fatal(err)
	}
	var written struct{ Outcomes []*Outcome }
	data, err := os.ReadFile(outcomesPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &written); err != nil {
		t.Fatal(err)
	}
	return written.Outcomes
}

func TestAnErrorWithDetailsOfANewerServer(t *testing.T) {
	outcome := outcomesOf(t, Case{Call: "ModelService/GetModel", Metadata: map[string]string{"given-bin": "AP8="}})[0]
	if outcome.Code != "CANCELLED" || outcome.Message != "of tomorrow" || len(outcome.Details) != 2 {
		t.Fatalf("%+v", outcome)
	}
	if unknown := outcome.Details[0]; unknown["@type"] != "celeste.image.v9.Tomorrow" || unknown["unknown"] != true {
		t.Error(unknown)
	}
	if known := outcome.Details[1]; known["@type"] != "celeste.image.v1.FailureInfo" || known["requestId"] != "id" {
		t.Error(known)
	}
	if echo := outcome.Trailers["echo-bin"]; len(echo) != 1 || echo[0] != "AP8=" {
		t.Error(outcome.Trailers)
	}
}

func TestAResponseThatTheClientRefusesIsNoStatus(t *testing.T) {
	outcomes := outcomesOf(t,
		Case{Call: "ModelService/GetServerInfo"}, // larger than the client accepts
		Case{Call: "ModelService/GetServerInfo", Request: json.RawMessage(`{"noField": 1}`)},
		Case{Call: "ModelService/NoCall"},
		Case{Call: "ArtifactService/WriteArtifact"}, // without an upload
	)
	for _, outcome := range outcomes {
		if outcome.Code != "CLIENT_ERROR" || outcome.Message == "" {
			t.Errorf("%+v", outcome)
		}
	}
}
