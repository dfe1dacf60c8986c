"""Imports MMF here, in a spawned process and in a DataLoader worker, and prints what is registered in each."""

import multiprocessing

import clipbert_mmf  # noqa: F401  stands for the .pth, which tests/contract/test_wheel.py covers


def find(queue=None):
    import mmf  # noqa: F401
    from mmf.common.registry import registry

    name = registry.get_model_class("clipbert").__name__
    if queue is not None:
        queue.put(name)
    return name


class OneItem:
    """A dataset whose item says what its worker has registered."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return find()


if __name__ == "__main__":
    from torch.utils.data import DataLoader

    here = find()
    queue = multiprocessing.get_context("spawn").Queue()
    child = multiprocessing.get_context("spawn").Process(target=find, args=(queue,))
    child.start()
    spawned = queue.get(timeout=100)
    child.join()
    loader = DataLoader(OneItem(), num_workers=1, multiprocessing_context="spawn")
    print(f"main: {here}; spawned: {spawned}; worker: {next(iter(loader))[0]}")
