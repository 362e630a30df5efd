package sync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

// handshake sends CONNECT with this connection's last will.
func (s *session) handshake(ctx context.Context) error {
	o := &s.c.o
	m := mqtt.NewClientOptions().
		AddBroker(s.c.broker.String()).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return s.conn, nil }).
		SetClientID(o.ClientID).SetUsername(o.Username).SetPassword(o.Password).
		SetProtocolVersion(protocol).SetCleanSession(true).
		SetAutoReconnect(false).SetConnectRetry(false).
		SetKeepAlive(o.KeepAlive).SetPingTimeout(o.PingTimeout).
		SetWriteTimeout(o.WriteTimeout).SetConnectTimeout(o.ConnectTimeout).
		SetOrderMatters(true).SetAutoAckDisabled(true).
		SetStore(mqtt.NewOrderedMemoryStore()).
		SetBinaryWill(wire.TopicState.Of(o.SystemID), wire.Encode(s.state(false)), qos, wire.TopicState.Retained()).
		SetDefaultPublishHandler(s.receive).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.lost <- err })
	if o.NewClient != nil {
		s.mq = o.NewClient(m)
	} else {
		s.mq = mqtt.NewClient(m)
		stop := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
		defer stop()
	}
	token := s.mq.Connect()
	if o.NewClient != nil {
		select {
		case <-token.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-token.Done() // ConnectTimeout bounds it
	return token.Error()
}

// subscribe asks for what central says to this panel, and for its own state.
// Where the broker refuses, the panel can still report, so it stays connected.
func (s *session) subscribe(ctx context.Context) error {
	filters := map[string]byte{wire.TopicState.Of(s.c.o.SystemID): qos}
	for _, t := range wire.DownTopics() {
		filters[t.Of(s.c.o.SystemID)] = qos
	}
	token := s.mq.SubscribeMultiple(filters, nil)
	timeout := time.NewTimer(s.c.o.ConnectTimeout)
	defer timeout.Stop()
	select {
	case <-token.Done():
	case err := <-s.lost:
		return err
	case <-ctx.Done():
		return nil
	case <-timeout.C:
		return errors.New("subscribe: the broker does not answer")
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	granted, ok := token.(interface{ Result() map[string]byte })
	if !ok {
		return nil
	}
	for topic, code := range granted.Result() {
		if code < refused {
			continue
		}
		s.log.Error("broker refuses a subscription: check its access rules", "topic", topic)
		s.c.update(func(st *Status) {
			st.Refused++
			st.LastError = "the broker refuses the subscription to " + topic
		})
		signal(s.c.changed)
		s.subscribeAt = time.Now().Add(s.c.o.RetryMax)
	}
	return nil
}

// publish hands a message to the MQTT library, which may hold it up for
// WriteTimeout where the connection breaks at this moment. An error means that
// the connection is of no use any more.
func (s *session) publish(t wire.Topic, payload []byte) error {
	if len(payload) > wire.MaxPayload {
		s.log.Error("message is too long to send", "topic", string(t), "bytes", len(payload))
		return nil
	}
	token := s.mq.Publish(t.Of(s.c.o.SystemID), qos, t.Retained(), payload)
	s.flight = append(s.flight, token)
	return s.landed()
}

// landed forgets the publishes that the broker has acknowledged. That says
// nothing about central.
func (s *session) landed() error {
	left := s.flight[:0]
	for _, t := range s.flight {
		select {
		case <-t.Done():
			// What ends with the connection says less than how that was lost.
			if err := t.Error(); err != nil && s.mq.IsConnectionOpen() {
				return fmt.Errorf("publish: %w", err)
			}
		default:
			left = append(left, t)
		}
	}
	clear(s.flight[len(left):])
	s.flight = left
	return nil
}

// leave says that the panel goes offline of its own accord. Where that does
// not get through, the connection is cut, so that the last will says it.
func (s *session) leave() {
	token := s.mq.Publish(wire.TopicState.Of(s.c.o.SystemID), qos, wire.TopicState.Retained(), wire.Encode(s.state(false)))
	if token.WaitTimeout(goodbye) && token.Error() == nil {
		s.mq.Disconnect(uint(quiesce / time.Millisecond))
	}
}

// close ends what is left of the connection, without a word: the broker sends
// the last will unless leave was heard.
func (s *session) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.mq != nil {
		s.mq.Disconnect(uint(quiesce / time.Millisecond))
	}
}
