package specconv

// KeepGroups is the annotation, set to "1", by which a process keeps the runtime's additional groups. Podman sets it
// (--group-add keep-groups).
const KeepGroups = "run.oci.keep_original_groups"

// SystemdProperty begins the annotations that set properties of the container's unit: the rest of the name is the property's.
const SystemdProperty = "org.systemd.property."

// UnsafeAnnotations returns the annotations that change what the runtime does: who lets others write annotations into a configuration
// must know of them. One that ends with "." stands for all that begin so. An annotation that the runtime heeds is named in this
// file, and `features` lists it.
func UnsafeAnnotations() []string { return []string{SystemdProperty, KeepGroups} }
