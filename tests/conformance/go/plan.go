package main

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"iter"
	"os"

	imagev1 "github.com/celeste-image/celeste/clients/go/celeste/image/v1"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Plan is the input of the runner.
type Plan struct {
	Transport string `json:"transport"`
	Cases     []Case `json:"cases"`
}

// Case is one call to make.
type Case struct {
	Name            string            `json:"name"`
	Address         string            `json:"address"`
	TLS             *TLS              `json:"tls"`
	Call            string            `json:"call"`
	Request         json.RawMessage   `json:"request,omitempty"`
	Metadata        map[string]string `json:"metadata"`
	DeadlineSeconds float64           `json:"deadline_seconds"`
	CancelAfter     int               `json:"cancel_after"`
	AtOnce          int               `json:"at_once"`
	Upload          *Upload           `json:"upload"`
	Download        bool              `json:"download"`
}

// TLS names files in PEM: the authorities to trust, and the certificate to show with its key. A nil pointer in a case
// means no TLS; without a certificate, none is shown.
type TLS struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// credentials returns the credentials of the connection.
func (t *TLS) credentials() (credentials.TransportCredentials, error) {
	if t == nil {
		return insecure.NewCredentials(), nil
	}
	authorities, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s has no certificate", t.CA)
	}
	if t.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return credentials.NewTLS(config), nil
}

// Upload describes the bytes to send. A nil pointer means that the plan leaves the value to the runner.
type Upload struct {
	Path       string       `json:"path"`
	ChunkBytes int          `json:"chunk_bytes"`
	Offset     int          `json:"offset"`
	StopAfter  *int         `json:"stop_after"`
	Name       *string      `json:"name"`
	SizeBytes  *json.Number `json:"size_bytes"` // a number or a string
}

// File is an upload whose bytes, name and size are known.
type File struct {
	upload *Upload
	data   []byte
	name   string
	size   int64
}

// read reads the file of an upload and computes what the plan leaves open.
func (u *Upload) read() (*File, error) {
	data, err := os.ReadFile(u.Path)
	if err != nil {
		return nil, err
	}
	if u.ChunkBytes < 1 || u.Offset < 0 || u.Offset > len(data) {
		return nil, fmt.Errorf("no chunks of %d bytes from %d in %d bytes", u.ChunkBytes, u.Offset, len(data))
	}
	file := &File{upload: u, data: data, size: int64(len(data))}
	if u.Name != nil {
		file.name = *u.Name
	} else {
		file.name = fmt.Sprintf("artifacts/sha256-%x", sha256.Sum256(data))
	}
	if u.SizeBytes != nil {
		file.size, err = u.SizeBytes.Int64()
	}
	return file, err
}

// chunks yields the chunks to send. The first is sent even if no byte is left: for an empty file, or to resume at its
// end.
func (f *File) chunks() iter.Seq[*imagev1.ArtifactChunk] {
	return func(yield func(*imagev1.ArtifactChunk) bool) {
		at := f.upload.Offset
		for sent := 0; f.upload.StopAfter == nil || sent < *f.upload.StopAfter; sent++ {
			end := min(at+f.upload.ChunkBytes, len(f.data))
			chunk := &imagev1.ArtifactChunk{Offset: int64(at), Data: f.data[at:end]}
			if !yield(chunk) || end == len(f.data) {
				return
			}
			at = end
		}
	}
}
