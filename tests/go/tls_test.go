package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	chatstore "chatstore.example/go"
	pb "chatstore.example/go/chatstorev1"
	"google.golang.org/protobuf/proto"
)

const token = "cst_of_a_test"

const secureConfiguration = `
[database]
path = "bot.db"

[service.tls]
certificate = "server.pem"
key = "server.key"

[[service.clients]]
name = "bot"
token-hash = "sha256:%x"
read = ["*"]
write = ["*"]
`

// makeCertificate writes server.pem and server.key for 127.0.0.1, and returns those who trust it.
func makeCertificate(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "chatstore"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	written := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	must(t, os.WriteFile(filepath.Join(folder, "server.pem"), written, 0o600))
	written = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	must(t, os.WriteFile(filepath.Join(folder, "server.key"), written, 0o600))
	trusted := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(certificate)
	must(t, err)
	trusted.AddCert(parsed)
	return trusted
}

func TestTLSAndTokens(t *testing.T) {
	folder := t.TempDir()
	trusted := &tls.Config{RootCAs: makeCertificate(t, folder)}
	text := fmt.Sprintf(secureConfiguration, sha256.Sum256([]byte(token)))
	must(t, os.WriteFile(filepath.Join(folder, "chatstore.toml"), []byte(text), 0o600))
	server := startServerOn(t, folder, map[string]string{
		"tls+tcp": "tls+tcp://127.0.0.1:0",
		"wss":     fmt.Sprintf("wss://127.0.0.1:%d/chat", freePort(t)),
	}, "--config", "chatstore.toml")
	for scheme, url := range server.urls {
		t.Run(scheme, func(t *testing.T) {
			ctx := within(t, 20*time.Second)
			client := open(t, url, &chatstore.Options{Token: token, TLS: trusted})
			value := strings.Repeat("v", 3<<20)
			_, err := client.SetSetting(ctx, &pb.SetSettingRequest{Key: "k", Value: proto.String(value)})
			must(t, err)
			found, err := client.GetSetting(ctx, &pb.GetSettingRequest{Key: "k"})
			must(t, err)
			if found.GetValue() != value {
				t.Error("another value")
			}
			nobody := open(t, url, &chatstore.Options{TLS: trusted})
			_, err = nobody.GetSetting(ctx, &pb.GetSettingRequest{Key: "k"})
			mustFail(t, err, chatstore.Unauthenticated, "")
			distrustful := open(t, url, &chatstore.Options{Token: token})
			_, err = distrustful.GetSetting(within(t, time.Second), &pb.GetSettingRequest{Key: "k"})
			mustFail(t, err, chatstore.Unavailable, "no connection")
		})
	}
}
