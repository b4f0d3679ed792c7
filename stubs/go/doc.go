// Package chatstore calls a chatstore server: one typed method of [Client] for each call of the
// contract, whose messages are in the package chatstorev1.
package chatstore

//go:generate go run ./internal/generate
