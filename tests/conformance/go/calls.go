package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	imagev1 "github.com/celeste-image/celeste/clients/go/celeste/image/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const defaultDeadlineSeconds = 60

// message is a pointer to a generated type, with which generic code makes a new message.
type message[T any] interface {
	*T
	proto.Message
}

// method makes a call and writes down what comes back.
type method func(*call) error

// methods returns the methods of the contract by name. A new RPC needs a line here; a test finds a missing line.
func methods(connection grpc.ClientConnInterface) map[string]method {
	artifacts := imagev1.NewArtifactServiceClient(connection)
	images := imagev1.NewImageServiceClient(connection)
	models := imagev1.NewModelServiceClient(connection)
	usage := imagev1.NewUsageServiceClient(connection)
	return map[string]method{
		"ArtifactService/DeleteArtifact":       unary(artifacts.DeleteArtifact),
		"ArtifactService/FindMissingArtifacts": unary(artifacts.FindMissingArtifacts),
		"ArtifactService/GetArtifact":          unary(artifacts.GetArtifact),
		"ArtifactService/ListArtifacts":        unary(artifacts.ListArtifacts),
		"ArtifactService/QueryWriteStatus":     unary(artifacts.QueryWriteStatus),
		"ArtifactService/ReadArtifact":         download(artifacts.ReadArtifact),
		"ArtifactService/WriteArtifact":        upload(artifacts.WriteArtifact),
		"ArtifactService/WriteArtifactChunk":   uploadByChunk(artifacts.WriteArtifactChunk),
		"ImageService/Analyze":                 unary(images.Analyze),
		"ImageService/Edit":                    unary(images.Edit),
		"ImageService/Generate":                unary(images.Generate),
		"ImageService/Stream":                  serverStream(images.Stream),
		"ImageService/Upscale":                 unary(images.Upscale),
		"ModelService/GetModel":                unary(models.GetModel),
		"ModelService/GetServerInfo":           unary(models.GetServerInfo),
		"ModelService/ListModels":              unary(models.ListModels),
		"ModelService/ListProviders":           unary(models.ListProviders),
		"UsageService/ListLedgerEntries":       unary(usage.ListLedgerEntries),
		"UsageService/QueryUsage":              unary(usage.QueryUsage),
	}
}

// call is a case under way.
type call struct {
	planned  *Case
	outcome  *Outcome
	file     *File // nil without an upload
	context  context.Context
	cancel   context.CancelFunc
	received int // response messages so far
}

// run makes the call of a case and returns its outcome.
func (c *Case) run() *Outcome {
	outcome := newOutcome(c.Name)
	err := c.call(outcome)
	if err = outcome.setStatus(err); err != nil {
		outcome.setClientError(err)
	}
	return outcome
}

func (c *Case) call(outcome *Outcome) error {
	credentials, err := c.TLS.credentials()
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(c.Address, grpc.WithTransportCredentials(credentials))
	if err != nil {
		return err
	}
	defer connection.Close()
	method, found := methods(connection)[c.Call]
	if !found {
		return fmt.Errorf("this runner has no call %q", c.Call)
	}
	call := &call{planned: c, outcome: outcome}
	if c.Upload != nil {
		if call.file, err = c.Upload.read(); err != nil {
			return err
		}
		outcome.SentBytes = new(0)
	}
	pairs, err := c.metadata()
	if err != nil {
		return err
	}
	seconds := c.DeadlineSeconds
	if seconds == 0 {
		seconds = defaultDeadlineSeconds
	}
	start := time.Now()
	defer func() { outcome.Seconds = time.Since(start).Seconds() }()
	background := metadata.AppendToOutgoingContext(context.Background(), pairs...)
	call.context, call.cancel = context.WithTimeout(background, time.Duration(seconds*float64(time.Second)))
	defer call.cancel()
	return method(call)
}

// metadata returns the request metadata as keys and values. gRPC itself encodes the bytes of a key in -bin.
func (c *Case) metadata() ([]string, error) {
	var pairs []string
	for key, value := range c.Metadata {
		if strings.HasSuffix(key, "-bin") {
			decoded, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("metadata %s: %w", key, err)
			}
			value = string(decoded)
		}
		pairs = append(pairs, key, value)
	}
	return pairs, nil
}

// parse reads the request of the case.
func (c *call) parse(request proto.Message) error {
	if c.planned.Request == nil {
		return nil
	}
	return protojson.Unmarshal(c.planned.Request, request)
}

// keep adds a response to the outcome.
func (c *call) keep(response proto.Message) error {
	data, err := protojson.Marshal(response)
	if err == nil {
		c.outcome.Messages = append(c.outcome.Messages, data)
	}
	return err
}

// count counts a response, and cancels the call after the planned number.
func (c *call) count() {
	c.received++
	if c.received == c.planned.CancelAfter {
		c.cancel()
	}
}

func (c *call) cancelled() bool {
	return c.planned.CancelAfter > 0 && c.received >= c.planned.CancelAfter
}

// ask makes one unary call.
func ask[Request, Response proto.Message](
	c *call,
	rpc func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
) (Response, error) {
	var headers, trailers metadata.MD
	response, err := rpc(c.context, request, grpc.Header(&headers), grpc.Trailer(&trailers))
	c.outcome.setMetadata(headers, trailers)
	if err != nil {
		return response, err
	}
	c.count()
	return response, c.keep(response)
}

// unary returns the method of a unary call.
func unary[T any, Request message[T], Response proto.Message](
	rpc func(context.Context, Request, ...grpc.CallOption) (Response, error),
) method {
	return func(c *call) error {
		request := Request(new(T))
		if err := c.parse(request); err != nil {
			return err
		}
		_, err := ask(c, rpc, request)
		return err
	}
}

// receive takes all responses of a stream. It drops those that arrive after the planned cancel.
func receive[T any](c *call, stream grpc.ServerStreamingClient[T], take func(*T) error) error {
	defer c.outcome.setMetadataOf(stream)
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !c.cancelled() {
			if err := take(response); err != nil {
				return err
			}
			c.count()
		}
	}
}

// serverStream returns the method of a server stream.
func serverStream[T, R any, Request message[T], Response message[R]](
	rpc func(context.Context, Request, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error),
) method {
	return func(c *call) error {
		request := Request(new(T))
		if err := c.parse(request); err != nil {
			return err
		}
		stream, err := rpc(c.context, request)
		if err != nil {
			return err
		}
		return receive(c, stream, func(response *R) error { return c.keep(Response(response)) })
	}
}

// download returns the method that reads an artifact: it checks the order of the chunks and keeps none.
func download(
	rpc func(context.Context, *imagev1.ReadArtifactRequest, ...grpc.CallOption) (
		grpc.ServerStreamingClient[imagev1.ReadArtifactResponse], error),
) method {
	return func(c *call) error {
		if !c.planned.Download {
			return serverStream(rpc)(c)
		}
		request := &imagev1.ReadArtifactRequest{}
		if err := c.parse(request); err != nil {
			return err
		}
		stream, err := rpc(c.context, request)
		if err != nil {
			return err
		}
		digest := sha256.New()
		report := &Download{Contiguous: true}
		c.outcome.Download = report
		defer func() { report.SHA256 = fmt.Sprintf("%x", digest.Sum(nil)) }()
		return receive(c, stream, func(response *imagev1.ReadArtifactResponse) error {
			if chunk := response.GetChunk(); chunk != nil {
				report.Contiguous = report.Contiguous && chunk.GetOffset() == request.GetOffset()+report.SizeBytes
				report.SizeBytes += int64(len(chunk.GetData()))
				digest.Write(chunk.GetData())
			}
			return nil
		})
	}
}

// upload returns the method that sends a file in one stream.
func upload(
	rpc func(context.Context, ...grpc.CallOption) (
		grpc.ClientStreamingClient[imagev1.WriteArtifactRequest, imagev1.WriteArtifactResponse], error),
) method {
	return func(c *call) error {
		if c.file == nil {
			return errors.New("the case needs an upload")
		}
		stream, err := rpc(c.context)
		if err != nil {
			return err
		}
		defer c.outcome.setMetadataOf(stream)
		request := &imagev1.WriteArtifactRequest{Name: c.file.name, SizeBytes: c.file.size}
		for chunk := range c.file.chunks() {
			request.Chunk = chunk
			err := stream.Send(request)
			if errors.Is(err, io.EOF) {
				break // The server answered early. CloseAndRecv returns its answer.
			}
			if err != nil {
				return err
			}
			*c.outcome.SentBytes += len(chunk.GetData())
			request = &imagev1.WriteArtifactRequest{}
		}
		response, err := stream.CloseAndRecv()
		if err != nil {
			return err
		}
		c.count()
		return c.keep(response)
	}
}

// uploadByChunk returns the method that sends a file in one unary call per chunk.
func uploadByChunk(
	rpc func(context.Context, *imagev1.WriteArtifactChunkRequest, ...grpc.CallOption) (
		*imagev1.WriteArtifactChunkResponse, error),
) method {
	return func(c *call) error {
		if c.file == nil {
			return unary(rpc)(c)
		}
		for chunk := range c.file.chunks() {
			*c.outcome.SentBytes += len(chunk.GetData())
			response, err := ask(c, rpc, &imagev1.WriteArtifactChunkRequest{
				Name: c.file.name, SizeBytes: c.file.size, Chunk: chunk,
			})
			if err != nil {
				return err
			}
			if response.GetArtifact() != nil {
				break
			}
		}
		return nil
	}
}
