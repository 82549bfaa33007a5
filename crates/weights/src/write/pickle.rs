//! The pickle of a state dictionary, protocol 2, as `torch.save` lays it out.

/// What the pickle says about one tensor, whose storage key is its position.
pub(super) struct Record<'a> {
    pub(super) name: &'a str,
    /// Storage class, such as `FloatStorage`.
    pub(super) class: &'a str,
    pub(super) shape: Vec<i64>,
}

/// An OrderedDict of contiguous tensors.
pub(super) fn state_dict<'a>(records: impl Iterator<Item = Record<'a>>) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (position, Record { name, class, shape }) in records.enumerate() {
        let elements: i64 = shape.iter().product();
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend(b"ctorch\n");
        out.extend(class.as_bytes());
        out.push(b'\n');
        text(&mut out, &position.to_string());
        text(&mut out, "cpu");
        whole(&mut out, elements);
        out.extend(b"tQK\x00");
        tuple(&mut out, &shape);
        tuple(&mut out, &stride(&shape));
        // requires_grad, then the hooks: an empty OrderedDict.
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

fn stride(shape: &[i64]) -> Vec<i64> {
    let unsigned: Vec<u64> = shape.iter().map(|&size| size.unsigned_abs()).collect();
    crate::contents::contiguous(&unsigned).into_iter().map(|step| step as i64).collect()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn whole(out: &mut Vec<u8>, value: i64) {
    match i32::try_from(value) {
        Ok(value) => {
            out.push(b'J');
            out.extend(value.to_le_bytes());
        }
        Err(_) => {
            out.extend([0x8a, 8]);
            out.extend(value.to_le_bytes());
        }
    }
}

fn tuple(out: &mut Vec<u8>, values: &[i64]) {
    out.push(b'(');
    values.iter().for_each(|&value| whole(out, value));
    out.push(b't');
}
