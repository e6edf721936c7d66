package systemd

import (
	"bytes"
	"encoding/binary"
	"math/rand"
	"reflect"
	"testing"

	"github.com/godbus/dbus/v5"
)

// start is the body of a call that starts a unit.
func start(u Unit, properties []Property) []byte {
	body := encoder{}
	body.text(u.Name)
	body.text("replace")
	body.properties(properties)
	body.array(8, func() {})
	return body.data
}

// decoded has the library decode a message of ours.
func decoded(t *testing.T, data []byte) *dbus.Message {
	t.Helper()
	m, err := dbus.DecodeMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%x: %v", data, err)
	}
	if err := m.IsValid(); err != nil {
		t.Fatalf("%x: %v", data, err)
	}
	return m
}

// roundTrip gives what the library makes of a value that is sent as a property.
func roundTrip(t *testing.T, v Value) any {
	t.Helper()
	call := message{kind: methodCall, path: "/", member: "M", signature: "ssa(sv)a(sa(sv))",
		body: start(Unit{Name: "x.scope"}, []Property{{Name: "Before", Value: Flag(true)}, {Name: "P", Value: v}, {Name: "After", Value: Text("end")}})}
	m := decoded(t, call.encode(1))
	properties := m.Body[2].([][]any)
	if got := properties[2][1].(dbus.Variant).Value(); got != "end" {
		t.Fatalf("%s: what follows is %v", show(v), got)
	}
	sent := properties[1][1].(dbus.Variant)
	if got := sent.Signature().String(); got != v.Type {
		t.Fatalf("%s: is sent as of type %s", show(v), got)
	}
	return sent.Value()
}

func TestEncodeCall(t *testing.T) {
	u := Unit{Name: "a-b.scope", Slice: "a.slice"}
	call := message{kind: methodCall, path: managerPath, iface: managerInterface, member: "StartTransientUnit", destination: managerName,
		signature: "ssa(sv)a(sa(sv))", body: start(u, BaseProperties(u, "x", 7, true))}
	m := decoded(t, call.encode(77))
	if m.Serial() != 77 || m.Type != dbus.TypeMethodCall || m.Flags != 0 {
		t.Errorf("message: %v", m)
	}
	for field, want := range map[dbus.HeaderField]any{
		dbus.FieldPath: dbus.ObjectPath(managerPath), dbus.FieldInterface: managerInterface, dbus.FieldMember: "StartTransientUnit",
		dbus.FieldDestination: managerName,
	} {
		if got := m.Headers[field].Value(); got != want {
			t.Errorf("field %d: got %v, want %v", field, got, want)
		}
	}
	properties := map[string]any{}
	for _, p := range m.Body[2].([][]any) {
		properties[p[0].(string)] = p[1].(dbus.Variant).Value()
	}
	want := map[string]any{"Description": "x", "DefaultDependencies": false, "CollectMode": "inactive-or-failed", "Slice": "a.slice",
		"Delegate": true, "PIDs": []uint32{7}, "CPUAccounting": true, "MemoryAccounting": true, "TasksAccounting": true, "IOAccounting": true}
	if m.Body[0] != "a-b.scope" || m.Body[1] != "replace" || !reflect.DeepEqual(properties, want) {
		t.Errorf("body: %v", m.Body)
	}
}

func TestValuesOnTheWire(t *testing.T) {
	for text, want := range map[string]any{
		"true": true, "byte 255": byte(255), "int16 -2": int16(-2), "uint16 65535": uint16(65535), "-3": int32(-3), "uint32 4": uint32(4),
		"int64 -5": int64(-5), "uint64 18446744073709551615": uint64(1<<64 - 1), "1.5": 1.5, "''": "", "'abc'": "abc",
		"@ay []": []byte{}, "[byte 1, 2, 3]": []byte{1, 2, 3}, "@at []": []uint64{}, "[uint64 1]": []uint64{1}, "['a', 'bc']": []string{"a", "bc"},
		"[true, false]": []bool{true, false}, "[[1], [2, 3]]": [][]int32{{1}, {2, 3}}, "[('a', uint64 1), ('b', 2)]": [][]any{{"a", uint64(1)}, {"b", uint64(2)}},
		"@a(ss) []": [][]any{}, "('x', byte 1, [int64 2])": []any{"x", byte(1), []int64{2}},
	} {
		v, err := ParseValue(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := roundTrip(t, v); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", text, got, want)
		}
	}
}

// libraryMessage gives the bytes of a message that the library makes.
func libraryMessage(t testing.TB, m dbus.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParseMessage(t *testing.T) {
	data := libraryMessage(t, dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(managerPath)), dbus.FieldInterface: dbus.MakeVariant(managerInterface),
		dbus.FieldMember: dbus.MakeVariant("JobRemoved"), dbus.FieldSender: dbus.MakeVariant(":1.1"), dbus.FieldUnixFDs: dbus.MakeVariant(uint32(0)),
		dbus.FieldReplySerial: dbus.MakeVariant(uint32(9)), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(uint32(1), dbus.ObjectPath(""), "", "")),
	}, Body: []any{uint32(7), dbus.ObjectPath("/job/7"), "x.scope", "done"}})
	header, all, err := messageSize(data)
	if err != nil || all != len(data) {
		t.Fatalf("size %d and %d of %d: %v", header, all, len(data), err)
	}
	m, err := parseMessage(data, header)
	if err != nil {
		t.Fatal(err)
	}
	if m.kind != signal || m.path != managerPath || m.iface != managerInterface || m.member != "JobRemoved" || m.signature != "uoss" || m.replyTo != 9 {
		t.Errorf("message: %+v", m)
	}
	d := decoder{data: m.body}
	if n, job, unit, result := d.number32(), d.text(), d.text(), d.text(); n != 7 || job != "/job/7" || unit != "x.scope" || result != "done" || d.err != nil {
		t.Errorf("body: %d %q %q %q: %v", n, job, unit, result, d.err)
	}
	// Cut off or changed anywhere, it is an error or another message, and nothing worse.
	random := rand.New(rand.NewSource(1))
	for range 20000 {
		broken := bytes.Clone(data)
		for range 1 + random.Intn(3) {
			broken[random.Intn(len(broken))] = byte(random.Intn(256))
		}
		tryMessage(broken[:headerSize+random.Intn(len(broken)-headerSize)])
	}
}

// tryMessage does what next does.
func tryMessage(data []byte) {
	if len(data) < headerSize {
		return
	}
	header, all, err := messageSize(data)
	if err != nil || len(data) < all {
		return
	}
	m, err := parseMessage(data[:all], header)
	if err != nil {
		return
	}
	_ = m.asError()
	d := decoder{data: m.body}
	d.number32()
	d.text()
	d.signature()
}

func FuzzParseMessage(f *testing.F) {
	f.Add(libraryMessage(f, dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldErrorName: dbus.MakeVariant("a.b"), dbus.FieldReplySerial: dbus.MakeVariant(uint32(1)),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf("")),
	}, Body: []any{"why"}}))
	f.Fuzz(func(_ *testing.T, data []byte) { tryMessage(data) })
}
