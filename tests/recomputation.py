"""The definition of a patched continuation, as plainly as it can be written.

The whole sequence is computed anew at each step, without a cache, one prompt and one condition at
a time, with PyTorch hooks on the plain model. Nothing of the engine is used but its value types.
"""

from __future__ import annotations

import torch

from emotion_circuits.interventions import (
    Ablate,
    Add,
    AddInSubspace,
    Constant,
    Decay,
    Everywhere,
    Listed,
    Onward,
    ProjectOut,
    Prompt,
    Replace,
    SetComponent,
    Window,
)

OUTPUT_PROJECTION = {
    "gpt2": "attn.c_proj",
    "gpt_neox": "attention.dense",
    "gpt_neo": "attn.attention.out_proj",
    "llama": "self_attn.o_proj",
    "qwen3": "self_attn.o_proj",
    "gemma3": "self_attn.o_proj",
    "bloom": "self_attention.dense",
    "falcon": "self_attention.dense",
    "gptj": "attn.out_proj",
    "codegen": "attn.out_proj",
    "mpt": "attn.out_proj",
    "opt": "self_attn.out_proj",
    "xglm": "self_attn.out_proj",
    "phi": "self_attn.dense",
    "gpt_bigcode": "attn.c_proj",
}
# Most architectures call it so.
_COMMON_PROJECTION = "self_attn.o_proj"
# The module whose output the MLP adds to the stream, where it is not ``mlp``.
MLP_END = {
    "bloom": "mlp.dense_4h_to_h",
    "mpt": "ffn.down_proj",
    "opt": "fc2",
    "xglm": "fc2",
}


def projection_of(architecture):
    return OUTPUT_PROJECTION.get(architecture, _COMMON_PROJECTION)


def blocks_of(plain):
    return next(
        module
        for module in plain.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == plain.config.num_hidden_layers
    )


def alpha_at(strength, step):
    if isinstance(strength, Constant):
        return strength.alpha
    if isinstance(strength, Decay):
        return strength.alpha * strength.rate**step
    assert isinstance(strength, Listed)
    return strength.alphas[step] if step < len(strength.alphas) else 0.0


def alphas(intervention, n_prompt, step):
    """Position → α at one step, from the words of the definition."""
    rule, strength = intervention.positions, intervention.strength
    read = range(n_prompt + step)
    if isinstance(rule, Window):
        covered = [p for p in read if p >= n_prompt + step - rule.size]
        if rule.new_tokens_only:
            covered = [p for p in covered if p >= n_prompt] or [n_prompt - 1]
        return {p: alpha_at(strength, step) for p in covered}
    if isinstance(rule, Prompt):
        first = 0 if rule.last is None else max(0, n_prompt - rule.last)
        return {p: alpha_at(strength, 0) for p in range(first, n_prompt)}
    first = {Onward: n_prompt - 1, Everywhere: 0}[type(rule)]
    return {p: alpha_at(strength, max(0, p - n_prompt + 1)) for p in read if p >= first}


def operate(operator, x, alpha, position):
    """One vector, one operator."""
    if isinstance(operator, Add):
        return x + alpha * operator.direction
    if isinstance(operator, AddInSubspace):
        within = torch.linalg.lstsq(operator.subspace.T, operator.direction[:, None]).solution
        return x + alpha * (operator.subspace.T @ within)[:, 0]
    if isinstance(operator, ProjectOut):
        within = torch.linalg.lstsq(operator.subspace.T, x[:, None]).solution
        return x - alpha * (operator.subspace.T @ within)[:, 0]
    if isinstance(operator, SetComponent):
        unit = operator.direction / operator.direction.norm()
        return x + alpha * (operator.value - torch.dot(x, unit)) * unit
    if isinstance(operator, Ablate):
        return (1 - alpha) * x + alpha * operator.value
    assert isinstance(operator, Replace)
    return (1 - alpha) * x + alpha * operator.source[position]


def hook_for(intervention, n_prompt, step, n_heads, handles, blocks, architecture):
    site = intervention.site
    weights = alphas(intervention, n_prompt, step)

    def change(stream):  # [1, pos, d_model]
        stream = stream.clone()
        for position, alpha in weights.items():
            if site.point == "z":
                heads = stream[0, position].reshape(n_heads, -1)
                heads[site.head] = operate(
                    intervention.operator, heads[site.head].clone(), alpha, position
                )
                stream[0, position] = heads.reshape(-1)
            else:
                stream[0, position] = operate(
                    intervention.operator, stream[0, position].clone(), alpha, position
                )
        return stream

    block = blocks[site.layer]
    if site.point == "resid_post":

        def after(_, __, out):
            return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

        handles.append(block.register_forward_hook(after))
    elif site.point == "resid_pre":

        def before(_, args, kwargs):
            if args:
                return (change(args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

        handles.append(block.register_forward_pre_hook(before, with_kwargs=True))
    elif site.point == "z":
        module = block.get_submodule(projection_of(architecture))
        handles.append(
            module.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
        )
    else:
        ends = {
            "attn_out": projection_of(architecture),
            "mlp_out": MLP_END.get(architecture, "mlp"),
        }
        handles.append(
            block.get_submodule(ends[site.point]).register_forward_hook(
                lambda _, __, out: change_output(change, out)
            )
        )


def change_output(change, output):
    """Change a module's output: alone or the first of several, with one axis less for OPT."""
    stream = output[0] if isinstance(output, tuple) else output
    changed = change(stream.view(1, -1, stream.shape[-1])).view(stream.shape)
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


@torch.no_grad()
def reference_generate(plain, architecture, prompt_ids, condition, n_steps):
    """Greedy tokens and each step's logits."""
    ids, logits = list(prompt_ids), []
    n_heads = plain.config.num_attention_heads
    for step in range(n_steps):
        handles = []
        for intervention in condition.interventions:
            hook_for(
                intervention,
                len(prompt_ids),
                step,
                n_heads,
                handles,
                blocks_of(plain),
                architecture,
            )
        try:
            logits.append(plain(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1])
        finally:
            for handle in handles:
                handle.remove()
        ids.append(int(logits[-1].argmax()))
        if ids[-1] == plain.config.eos_token_id:
            break
    return tuple(ids[len(prompt_ids) :]), torch.stack(logits)
