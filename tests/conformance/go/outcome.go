package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails" // makes the types of details known to status.Details
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Outcome is what came back from a call.
type Outcome struct {
	Name      string              `json:"name"`
	Code      string              `json:"code"`
	Message   string              `json:"message"`
	Messages  []json.RawMessage   `json:"messages"`
	Details   []map[string]any    `json:"details"`
	Headers   map[string][]string `json:"headers"`
	Trailers  map[string][]string `json:"trailers"`
	Download  *Download           `json:"download,omitempty"`
	SentBytes *int                `json:"sent_bytes,omitempty"`
	Seconds   float64             `json:"seconds"`
}

// Download sums up the chunks of an artifact.
type Download struct {
	SizeBytes  int64  `json:"size_bytes"`
	SHA256     string `json:"sha256"`
	Contiguous bool   `json:"contiguous"`
}

func newOutcome(name string) *Outcome {
	return &Outcome{
		Name:     name,
		Messages: []json.RawMessage{},
		Details:  []map[string]any{},
		Headers:  map[string][]string{},
		Trailers: map[string][]string{},
	}
}

// setStatus sets code, message and details from the error of a call, nil for success. It returns an error that is not
// a status of the server.
func (o *Outcome) setStatus(err error) error {
	failure, ok := status.FromError(err)
	if !ok {
		return err
	}
	// The prefix marks errors that grpc-go makes while it reads or writes a message.
	if strings.HasPrefix(failure.Message(), "grpc: ") {
		return err
	}
	name, known := code.Code_name[int32(failure.Code())]
	if !known {
		name = fmt.Sprint(int32(failure.Code()))
	}
	o.Code, o.Message = name, failure.Message()
	for i, detail := range failure.Details() {
		fields, err := describe(detail, string(failure.Proto().GetDetails()[i].MessageName()))
		if err != nil {
			return err
		}
		o.Details = append(o.Details, fields)
	}
	return nil
}

func (o *Outcome) setClientError(err error) {
	o.Code, o.Message, o.Details = "CLIENT_ERROR", err.Error(), []map[string]any{}
}

// describe returns a detail, which is a message or an error, as JSON with its type.
func describe(detail any, name string) (map[string]any, error) {
	described := map[string]any{"@type": name}
	switch detail := detail.(type) {
	case proto.Message:
		data, err := protojson.Marshal(detail)
		if err != nil {
			return nil, err
		}
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, fmt.Errorf("detail %s: %w", name, err)
		}
		for key, value := range fields {
			described[key] = value
		}
		return described, nil
	case error:
		if !errors.Is(detail, protoregistry.NotFound) {
			return nil, fmt.Errorf("detail %s: %w", name, detail)
		}
	}
	described["unknown"] = true
	return described, nil
}

// setMetadata sets the response metadata, without the headers of the transport.
func (o *Outcome) setMetadata(headers, trailers metadata.MD) {
	o.Headers, o.Trailers = readable(headers), readable(trailers)
}

// setMetadataOf sets the response metadata of a stream that is over.
func (o *Outcome) setMetadataOf(stream grpc.ClientStream) {
	headers, _ := stream.Header() // The stream's status has the same error.
	o.setMetadata(headers, stream.Trailer())
}

func readable(given metadata.MD) map[string][]string {
	kept := map[string][]string{}
	for key, values := range given {
		if key == "content-type" || strings.HasPrefix(key, "grpc-") {
			continue
		}
		for _, value := range values {
			if strings.HasSuffix(key, "-bin") {
				value = base64.StdEncoding.EncodeToString([]byte(value))
			}
			kept[key] = append(kept[key], value)
		}
	}
	return kept
}
